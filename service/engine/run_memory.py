"""What one run of a model may take in memory, by the shapes that its manifest states.

An allocation that fails inside of native code ends the process, so a run is chosen by what it would
take, before it begins. Only inputs, outputs and states are known of a model, and what is between
them is of their size in recurrent layers: a run of LSTM and GRU layers with 20 to 1024 hidden took
0.7 to 5.2 times all three together, in ONNX Runtime and torch. Six times are counted. A model that
sets each time step against each other one takes more, with the square of its steps.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

from carousel.models.spec import ModelSpec

_TIMES = 6
_NO_BOUND = 1 << 62


@dataclass(frozen=True, slots=True)
class RunMemory:
    """Bytes of a run: of each row, and of each time step of a row; `most` is what a run may take.

    A run of one row and one step always fits: a model for which it does not is not served.
    """

    row_bytes: int = 0
    step_bytes: int = 1
    most: int = _NO_BOUND

    @classmethod
    def of(cls, spec: ModelSpec, most: int) -> "RunMemory":
        """The memory of a model."""
        row_bytes = step_bytes = 0
        for each in (*spec.inputs, *spec.outputs):
            if each.time_axis is None:
                row_bytes += _nbytes(each.row_shape, each.dtype)
            else:
                step_bytes += _nbytes(each.row_shape, each.dtype)
        for state in spec.states:
            if state.fixed:
                row_bytes += _nbytes(state.session_shape, state.dtype)
            else:
                # It is as wide as the layer that it is of, whose steps are of that width inside.
                step_bytes += _nbytes(state.session_shape, state.dtype)
        return cls(_TIMES * row_bytes, max(1, _TIMES * step_bytes), most)

    def nbytes(self, num_rows: int, num_steps: int) -> int:
        """What a run of `num_rows` rows, each padded to `num_steps` steps, is taken to need."""
        return num_rows * (self.row_bytes + num_steps * self.step_bytes)

    def fits(self, num_rows: int, num_steps: int) -> bool:
        """Whether such a run may be."""
        return self.nbytes(num_rows, num_steps) <= self.most

    def most_rows(self, num_steps: int) -> int:
        """How many rows of `num_steps` steps a run may have."""
        return self.most // self.nbytes(1, num_steps)

    def most_steps(self) -> int:
        """How many steps a run of one row may have."""
        return max(0, self.most - self.row_bytes) // self.step_bytes


def _nbytes(shape: tuple[int, ...], dtype: str) -> int:
    return prod(shape) * np.dtype(dtype).itemsize


UNBOUNDED = RunMemory()
