"""Small real fakes behind the service's own interfaces, above all the witness.

The witness is a ReLU RNN with identity weights, fed integers: its state is the exact running sum of
its inputs, and its output the sum so far, so a lost, doubled or reordered step shows in the output.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from models.row import Array, RowLayout
from models.spec import InputSpec, ModelSpec, OutputSpec, StateSpec
from service.backends.numpy_pool import NumpyPool

WITNESS = ModelSpec(
    inputs=(InputSpec(name="x", dtype="float32", axes=("batch", "time", 2)),),
    outputs=(OutputSpec(name="output", dtype="float32", axes=("batch", "time", 2), per="step"),),
    states=(StateSpec(name="h", dtype="float32", axes=(1, "batch", 2), output="h_out"),),
    streaming="step",
)


class WitnessBackend:
    """h_t = relu(x_t + h_(t-1)) in NumPy; an input equal to `poison` makes its whole batch fail."""

    mixed_lengths = True

    def __init__(self, poison: float = -777.0) -> None:
        self.poison = poison
        self.batches: list[tuple[int, int]] = []

    def make_pool(self, num_slots: int) -> NumpyPool:
        """A pool in host memory."""
        return NumpyPool(WITNESS, RowLayout(WITNESS.states), num_slots)

    def run(
        self,
        inputs: Mapping[str, Array],
        states: Sequence[Array],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[Array]]:
        """Running sums (B, T, 2) and the last of each row, (1, B, 2)."""
        x = inputs["x"]  # (B, T, 2)
        self.batches.append((x.shape[0], x.shape[1]))
        if (x == self.poison).any():
            raise ValueError("poisoned batch")
        h = states[0][0].copy()  # (B, 2)
        output = np.zeros_like(x)  # (B, T, 2)
        for step in range(x.shape[1]):
            live = (step < lengths)[:, np.newaxis]  # (B, 1)
            h = np.where(live, np.maximum(x[:, step] + h, 0), h)
            output[:, step] = h
        return [output], [h[np.newaxis].astype(np.float32)]
