"""Files that are told how long each row is, as ONNX's own recurrent layers are."""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper

from carousel.models.row import Array
from tests.export.imported.foreign.files import Arrays, Foreign
from tests.export.imported.foreign.graphs import onnx_graph

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}


@dataclass(frozen=True)
class Layer:
    """One recurrent layer of ONNX; `states`: whether h (and c) come from outside.

    `rows` and `time` are axes: a name leaves one open. `lengths` is what its input of lengths is
    called, `dtype` what it holds: int64 is cast, as torch has it.
    """

    kind: str
    states: bool
    lengths: str = "sequence_lens"
    time: int | str = "T"
    rows: int | str = "N"
    directions: int = 1
    dtype: str = "int32"

    @property
    def start(self) -> tuple[str, ...]:
        """The inputs that are states."""
        given = ("initial_h", "initial_c") if self.kind == "LSTM" else ("initial_h",)
        return given if self.states else ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """All outputs: every step's, and the last ones."""
        return ("Y", "Y_h", "Y_c") if self.kind == "LSTM" else ("Y", "Y_h")

    def data(self) -> bytes:
        """The file."""
        rng = np.random.default_rng(4)
        gates, ways = _GATES[self.kind], self.directions
        weights: dict[str, Array] = {
            name: (0.5 * rng.standard_normal((ways, 4 * gates, size))).astype(np.float32)
            for name, size in (("W", 3), ("R", 4))
        }
        node = helper.make_node(
            self.kind,
            ["x", "W", "R", "", self.lengths if self.dtype == "int32" else "narrow", *self.start],
            list(self.outputs),
            hidden_size=4,
            direction="bidirectional" if ways == 2 else "forward",
        )
        last = [ways, self.rows, 4]
        cast = helper.make_node("Cast", [self.lengths], ["narrow"], to=TensorProto.INT32)
        return onnx_graph(
            [node] if self.dtype == "int32" else [cast, node],
            {"x": [self.time, self.rows, 3], self.lengths: [self.rows]}
            | dict.fromkeys(self.start, last),
            {"Y": [self.time, ways, self.rows, 4]} | dict.fromkeys(self.outputs[1:], last),
            weights,
            {self.lengths: self.dtype},
        )

    def alone(self, x: Array, length: int) -> Arrays:
        """What ONNX Runtime answers to one row x (T, 3) of this length, outputs without batch."""
        feed: Arrays = {"x": x[:, None], self.lengths: np.array([length], self.dtype)}
        feed |= {name: np.zeros((self.directions, 1, 4), np.float32) for name in self.start}
        found = Foreign("layer", self.data(), {}, (), {}, {}).run(feed)
        return {name: found[name].squeeze(2 if name == "Y" else 1) for name in self.outputs}
