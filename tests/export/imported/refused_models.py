"""Models that an import refuses, or asks about."""

import io
import zipfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tests.export.imported.foreign.files import onnx_bytes, script_bytes
from tests.export.imported.foreign.nets import Half, Hostile


class Swappable(nn.Module):
    """Two states of one shape over time; only one way of handing them on is right."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        """x (T, B, 3), h and c (1, B, 4)."""
        y, (h, c) = self.lstm(x, (h, c))
        return y, h, c


class Unused(nn.Module):
    """What is called its state changes nothing."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """All (B, 3)."""
        return x * 2 + 0 * state, x + 1


class Grows(nn.Module):
    """A cache that is longer after every call."""

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 1, 3), cache (B, N, 3)."""
        cache = torch.cat([cache, x], 1)
        return cache.sum(1), cache


class Attends(nn.Module):
    """Every step looks at every other."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 4)."""
        weights = torch.softmax(x @ x.transpose(1, 2), 2)
        return weights @ x, weights


class Coupled(nn.Module):
    """Every row is measured against the others."""

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """All (B, 3)."""
        state = 0.5 * state + x - 0.5 * x.mean(0, keepdim=True)
        return state * 2, state


def exported(
    module: nn.Module, outputs: list[str], axes: tuple[str, ...], **example: Tensor
) -> bytes:
    """ONNX whose inputs have the open axes `axes`, from the first axis on."""
    return onnx_bytes(module, example, outputs, {name: dict(enumerate(axes)) for name in example})


def hostile(*names: str) -> bytes:
    """Three states of one shape, and outputs whose names tell nothing."""
    example = {name: torch.zeros(3, 4) for name in ("x", *names)}
    return exported(Hostile(), ["y", "u", "v", "w"], ("n",), **example)


def swappable(*names: str) -> bytes:
    """The LSTM over time with its outputs called by these names."""
    example = {"x": torch.randn(5, 3, 3), "h": torch.zeros(1, 3, 4), "c": torch.zeros(1, 3, 4)}
    axes = {"x": {0: "time", 1: "batch"}, "h": {1: "batch"}, "c": {1: "batch"}}
    return onnx_bytes(Swappable(), example, ["y", *names], axes)


def graph(
    *nodes: onnx.NodeProto, domain: str | None = None, dtype: int = TensorProto.FLOAT
) -> bytes:
    """A graph of these nodes from x to y, both (2, 3)."""
    ends = [helper.make_tensor_value_info(name, dtype, [2, 3]) for name in "xy"]
    made = helper.make_graph(list(nodes), "g", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17)]
    opsets += [] if domain is None else [helper.make_opsetid(domain, 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8)
    return bytes(model.SerializeToString())


def external(folder: Path) -> bytes:
    """A model whose weight lies in a file beside it."""
    weight = numpy_helper.from_array(np.ones((2, 3), np.float32), "weight")
    model = onnx.load_from_string(graph(helper.make_node("Add", ["x", "weight"], ["y"])))
    model.graph.initializer.append(weight)
    path = folder / "external.onnx"
    onnx.save_model(model, path, save_as_external_data=True, size_threshold=0, location="weights")
    return path.read_bytes()


def half_lstm(folder: Path) -> bytes:
    """An LSTM node in float16, which ends the process of ONNX Runtime that loads it."""
    shapes = {"W": (1, 16, 3), "R": (1, 16, 4)}
    made = helper.make_graph(
        [helper.make_node("LSTM", ["x", "W", "R"], ["y"], name="rnn", hidden_size=4)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["t", "b", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, ["t", 1, "b", 4])],
        [
            numpy_helper.from_array(np.ones(shape, np.float16), name)
            for name, shape in shapes.items()
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def needs_code(folder: Path) -> bytes:
    """A TorchScript file that calls an operator of somebody's library."""
    found = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(script_bytes(Half()))) as old,
        zipfile.ZipFile(found, "w") as new,
    ):
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, data.replace(b"torch.tanh(", b"ops.theirs.tanh("))
    return found.getvalue()


def saved(value: object) -> bytes:
    """What torch.save writes."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()
