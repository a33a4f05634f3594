"""A backend by whose runs alone time passes: what they take is known to the digit."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from carousel.models.artifact import Artifact
from carousel.models.row import Array, RowLayout
from carousel.service.backends.onnx import OnnxBackend


class WoundBackend(OnnxBackend):
    """`now` goes on by `run_s` for a run, `row_s` for each of its rows, and by `first_s` for the
    first of a shape.
    """

    def __init__(
        self, artifact: Artifact, layout: RowLayout, *, run_s: float, row_s: float, first_s: float
    ) -> None:
        super().__init__(artifact, layout, threads=1)
        self.now = 0.0
        self._run_s, self._row_s, self._first_s = run_s, row_s, first_s
        self._shapes: set[int] = set()

    def run(
        self,
        inputs: Mapping[str, Array],
        states: Sequence[Array],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[Array]]:
        """As ONNX Runtime answers, in the time that was said."""
        num_rows = len(lengths)
        self.now += self._run_s + self._row_s * num_rows
        if num_rows not in self._shapes:
            self.now += self._first_s
            self._shapes.add(num_rows)
        return super().run(inputs, states, lengths)
