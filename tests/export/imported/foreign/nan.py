"""Small files whose outputs are not always numbers."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from tests.export.imported.foreign.files import onnx_bytes, script_bytes
from tests.export.imported.foreign.graphs import cell, onnx_graph


class LogOfStates(nn.Module):
    """The logarithm of a layer's states, of which half are negative."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(4, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """x (T, B, 4), h (1, B, 4)."""
        z, h = self.rnn(x, h)
        return torch.log(z), h


class Root(nn.Module):
    """The root of a state, which is negative as often as not."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Both (B, 4)."""
        h = torch.tanh(0.5 * h + x)
        return torch.sqrt(h), h


def _with_z(nodes: Sequence[onnx.NodeProto]) -> bytes:
    """The cell, and z (B, 6) made of its new state by these nodes; z alone is not a number."""
    numbers = {"two": 2.0, "half": 0.5, "thousand": 1000.0}
    weights = {name: np.array(value, np.float32) for name, value in numbers.items()}
    weights["last"] = np.array([1], np.int64)
    return cell(nodes, outputs={"z": ["N", 6]}, weights=weights)


def _over_time() -> bytes:
    torch.manual_seed(0)
    example = {"x": torch.zeros(5, 2, 4), "h": torch.zeros(1, 2, 4)}
    return onnx_bytes(LogOfStates(), example, ["z", "hn"], {"x": {0: "T", 1: "N"}, "h": {1: "N"}})


# Outputs that are NaN for some inputs, and the name of the one that is.
FILES: Mapping[str, Callable[[], bytes]] = {
    "logarithm": lambda: _with_z([helper.make_node("Log", ["hn"], ["z"])]),
    "root": lambda: _with_z([helper.make_node("Sqrt", ["hn"], ["z"])]),
    "zero by zero": lambda: _with_z(
        [helper.make_node("Relu", ["hn"], ["up"]), helper.make_node("Div", ["up", "up"], ["z"])]
    ),
    "arc cosine": lambda: _with_z(
        [
            helper.make_node("Mul", ["hn", "two"], ["more"]),
            helper.make_node("Acos", ["more"], ["z"]),
        ]
    ),
    "power": lambda: _with_z([helper.make_node("Pow", ["hn", "half"], ["z"])]),
    "over time": _over_time,
    "without a state": lambda: onnx_graph(
        [helper.make_node("Log", ["x"], ["z"])], {"x": ["N", 4]}, {"z": ["N", 4]}
    ),
}


def infinite() -> bytes:
    """z is infinite where the state is not above zero, and never NaN."""
    up = helper.make_node("Relu", ["hn"], ["up"])
    return _with_z([up, helper.make_node("Reciprocal", ["up"], ["z"])])


def only_when_loud() -> bytes:
    """z is NaN for none of the values that a model usually has, and for very loud ones."""
    return _with_z(
        [
            helper.make_node("Mul", ["x", "x"], ["square"]),
            helper.make_node("ReduceSum", ["square", "last"], ["power"], keepdims=1),
            helper.make_node("Sub", ["thousand", "power"], ["left"]),
            helper.make_node("Sqrt", ["left"], ["root"]),
            helper.make_node("Mul", ["root", "hn"], ["z"]),
        ]
    )


def scripted() -> bytes:
    """TorchScript, with a root."""
    return script_bytes(Root())


def state_is_lost() -> bytes:
    """The state itself becomes NaN after a few frames, and stays so."""
    return onnx_graph(
        [
            helper.make_node("Add", ["x", "h"], ["sum"]),
            helper.make_node("Sqrt", ["sum"], ["hn"]),
            helper.make_node("Tanh", ["sum"], ["y"]),
        ],
        {"x": ["N", 4], "h": ["N", 4]},
        {"y": ["N", 4], "hn": ["N", 4]},
    )
