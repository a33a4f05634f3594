"""ONNX programs through ONNX Runtime on the CPU, their states in host memory."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from carousel.models.artifact import Artifact
from carousel.models.row import Array, RowLayout
from carousel.service.backends.numpy_pool import NumpyPool
from carousel.service.backends.onnx_program import OnnxProgram


class OnnxBackend:
    """Runs `model.onnx` of an artifact on `threads` cores."""

    def __init__(self, artifact: Artifact, layout: RowLayout, *, threads: int) -> None:
        """Raises ArtifactError for a file that differs, BackendRefused for one that will not
        load.
        """
        self._program = OnnxProgram(artifact, threads=threads)
        self._spec = self._program.spec
        self._layout = layout
        self._session = self._program.session
        self.mixed_lengths = self._program.mixed_lengths

    def __repr__(self) -> str:
        return f"<OnnxBackend mixed_lengths={self.mixed_lengths}>"

    def make_pool(self, num_slots: int) -> NumpyPool:
        """A pool in host memory."""
        return NumpyPool(self._spec, self._layout, num_slots)

    def place(self, array: Array) -> Array:
        """The array: it is where it is needed."""
        return array

    def join(self, parts: Sequence[Array], axis: int) -> Array:
        """Arrays one behind the other along `axis`."""
        return np.concatenate(parts, axis)

    def run(
        self,
        inputs: Mapping[str, Array],
        states: Sequence[Array],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[Array]]:
        """Outputs and new states in model layout; any exception is this batch's failure."""
        feeds = self._program.feeds(inputs, states, lengths)
        results = self._session.run(self._program.output_names, feeds)
        num_outputs = len(self._spec.outputs)
        return results[:num_outputs], results[num_outputs:]

    def wait(self) -> None:
        """Nothing is on its way: a run ends with its answers."""
