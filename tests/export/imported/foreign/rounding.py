"""Files whose numbers are rounded otherwise in another batch, or at another length, and no row of
which hears another.

A frame is added to a large number and taken out again. How large depends on the batch (or on the
length) alone, so that what is lost follows from float32 and from nothing that a neighbour says; in
float64 nothing is lost.
"""

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from carousel.models.row import Array
from tests.export.imported.foreign.files import script_bytes
from tests.export.imported.foreign.graphs import onnx_graph

# Between half of it and it all stands in front of a row that is not alone: half a unit in the last
# place of such a number is 3e-5.
ROUGH = 1024.0
ROUGHER = 16384.0  # 5e-4: more than any model is allowed


def _weights() -> dict[str, Array]:
    rng = np.random.default_rng(5)
    shapes = {"wx": (4, 6), "wh": (6, 6)}
    found: dict[str, Array] = {
        name: (0.4 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes.items()
    }
    return found | {"one": np.array([1], np.float32), "zero": np.array([0], np.int64)}


def rounded_in_batches(rough: float = ROUGH, leak: float = 0.0) -> bytes:
    """A cell of frames; `leak` is how much of the mean of all rows is in every row."""
    weights = _weights() | {
        "rough": np.array([rough], np.float32),
        "leak": np.array([leak], np.float32),
    }
    nodes: list[onnx.NodeProto] = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("CastLike", ["rows", "x"], ["batch"]),
        helper.make_node("Div", ["one", "batch"], ["part"]),
        helper.make_node("Sub", ["one", "part"], ["rest"]),
        helper.make_node("Mul", ["rough", "rest"], ["large"]),
        helper.make_node("Add", ["x", "large"], ["lifted"]),
        helper.make_node("Sub", ["lifted", "large"], ["back"]),
        helper.make_node("MatMul", ["back", "wx"], ["from_x"]),
        helper.make_node("MatMul", ["h", "wh"], ["from_h"]),
        helper.make_node("Add", ["from_x", "from_h"], ["sum"]),
        helper.make_node("ReduceMean", ["sum"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Mul", ["mean", "leak"], ["leaked"]),
        helper.make_node("Add", ["sum", "leaked"], ["all"]),
        helper.make_node("Tanh", ["all"], ["hn"]),
        helper.make_node("Identity", ["hn"], ["y"]),
    ]
    if not leak:
        nodes = [each for each in nodes if each.output[0] not in ("mean", "leaked", "all")]
        nodes[-2].input[0] = "sum"
        del weights["leak"]
    return onnx_graph(
        nodes,
        {"x": ["N", 4], "h": ["N", 6]},
        {"y": ["N", 6], "hn": ["N", 6]},
        weights,
    )


class RoundedAtLengths(nn.Module):
    """A layer over time whose frames are rounded otherwise at every length; in float64 they are
    not.
    """

    def __init__(self, rough: float, forgets: float = 0.0) -> None:
        super().__init__()
        self.rough = rough
        self.forgets = forgets
        self.rnn = nn.RNN(4, 6)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (T, B, 4), h (1, B, 6)."""
        large = torch.full([1], self.rough * (1.0 - 1.0 / x.size(0)), dtype=x.dtype)
        y, h = self.rnn((x + large) - large, h * (1.0 - self.forgets))
        return y, h


class Wide(nn.Module):
    """Frames of many samples and large weights, as trained models have: torch adds them up in
    another order for one row than for three.
    """

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Parameter(torch.randn(1536, 64) * (10 / 1536**0.5))

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 1536), h (B, 64)."""
        h = torch.sin(x @ self.into + 0.1 * h)
        return h * 2, h


def rounded_at_lengths(rough: float = ROUGH, forgets: float = 0.0) -> bytes:
    """The layer over time as TorchScript; `forgets`: how much of the state a chunk loses."""
    torch.manual_seed(1)
    return script_bytes(RoundedAtLengths(rough, forgets))


def wide() -> bytes:
    """The wide frames as TorchScript."""
    torch.manual_seed(2)
    return script_bytes(Wide())


AT_LENGTHS = ("--input", "x:float32:time,batch,4", "--input", "h:float32:1,batch,6")
WIDE = (
    *("--input", "x:float32:batch,1536", "--input", "h:float32:batch,64"),
    *("--state", "h=output_1"),
)
