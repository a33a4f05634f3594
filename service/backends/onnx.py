"""ONNX programs through ONNX Runtime on the CPU."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from carousel.models.artifact import Artifact
from carousel.models.onnx_file import OnnxRefused, check_onnx
from carousel.models.row import Array, RowLayout
from carousel.service.backends.base import BackendRefused
from carousel.service.backends.numpy_pool import NumpyPool


class OnnxBackend:
    """Runs `model.onnx` of an artifact on `threads` cores; never spins (ORT#13808)."""

    device = "cpu"

    def __init__(self, artifact: Artifact, layout: RowLayout, *, threads: int) -> None:
        """Raises ArtifactError for a file that differs, BackendRefused for one that will not
        load.
        """
        self._spec = artifact.manifest.spec
        self._layout = layout
        program = artifact.manifest.programs["onnx"]
        self.mixed_lengths = program.ragged == "exact" and program.lengths is not None
        self._lengths = program.lengths
        self._state_names = [state.name for state in self._spec.program_states]
        self._output_names = [output.name for output in self._spec.outputs]
        self._output_names += [each.output for each in self._spec.states if each.output is not None]
        data = artifact.read(program.file)
        try:
            check_onnx(data)
            self._session = ort.InferenceSession(
                data, _options(threads), providers=["CPUExecutionProvider"]
            )
        except OnnxRefused as error:
            raise BackendRefused(f"{program.file} is refused: {error}") from error
        except Exception as error:
            raise BackendRefused(f"ONNX Runtime refuses {program.file}: {error}") from error
        self._check_names()
        counts = {each.name: each.type for each in self._session.get_inputs()}
        self._count = np.int64 if counts.get(self._lengths) == "tensor(int64)" else np.int32

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
        feeds = dict(inputs)
        feeds.update(zip(self._state_names, states, strict=True))
        if self._lengths is not None:
            feeds[self._lengths] = lengths.astype(self._count)  # (B,)
        results = self._session.run(self._output_names, feeds)
        num_outputs = len(self._spec.outputs)
        return results[:num_outputs], results[num_outputs:]

    def _check_names(self) -> None:
        given = {each.name for each in self._session.get_inputs()}
        wanted = {each.name for each in self._spec.inputs} | set(self._state_names)
        wanted |= {self._lengths} if self._lengths is not None else set()
        missing = set(self._output_names) - {each.name for each in self._session.get_outputs()}
        if given != wanted or missing:
            raise BackendRefused(
                f"the program's inputs are {sorted(given)}, the manifest's {sorted(wanted)}; "
                f"outputs missing: {sorted(missing)}"
            )


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Its other form is told by its bytes, and is another way to reach outside.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.log_severity_level = 3
    return options
