"""An ONNX program in an ONNX Runtime session, and what it wants to be fed."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from carousel.models.artifact import Artifact
from carousel.models.onnx_file import OnnxRefused, check_onnx
from carousel.models.row import Array
from carousel.service.backends.base import BackendRefused

_T = TypeVar("_T")

CPU = ("CPUExecutionProvider",)


class OnnxProgram:
    """`model.onnx` of an artifact on `threads` cores; never spins (ORT#13808)."""

    def __init__(self, artifact: Artifact, *, threads: int, providers: Sequence[Any] = CPU) -> None:
        """`providers`: what onnxruntime takes as such, the best first.

        Raises ArtifactError for a file that differs, BackendRefused for one that will not load.
        """
        self.spec = artifact.manifest.spec
        program = artifact.manifest.programs["onnx"]
        self.mixed_lengths = program.ragged == "exact" and program.lengths is not None
        self._lengths = program.lengths
        self._state_names = [state.name for state in self.spec.program_states]
        self.output_names = [output.name for output in self.spec.outputs]
        self.output_names += [each.output for each in self.spec.states if each.output is not None]
        data = artifact.read(program.file)
        try:
            check_onnx(data)
            self.session = ort.InferenceSession(data, _options(threads), providers=list(providers))
        except OnnxRefused as error:
            raise BackendRefused(f"{program.file} is refused: {error}") from error
        except Exception as error:
            raise BackendRefused(f"ONNX Runtime refuses {program.file}: {error}") from error
        self._check_names()
        counts = {each.name: each.type for each in self.session.get_inputs()}
        self._count = np.int64 if counts.get(self._lengths) == "tensor(int64)" else np.int32

    def feeds(
        self, inputs: Mapping[str, _T], states: Sequence[_T], lengths: npt.NDArray[np.int32]
    ) -> dict[str, _T | Array]:
        """What the program takes, by name: inputs, states, and lengths (B,) where it has them."""
        feeds: dict[str, _T | Array] = dict(inputs)
        feeds.update(zip(self._state_names, states, strict=True))
        if self._lengths is not None:
            feeds[self._lengths] = lengths.astype(self._count)  # (B,)
        return feeds

    def _check_names(self) -> None:
        given = {each.name for each in self.session.get_inputs()}
        wanted = {each.name for each in self.spec.inputs} | set(self._state_names)
        wanted |= {self._lengths} if self._lengths is not None else set()
        missing = set(self.output_names) - {each.name for each in self.session.get_outputs()}
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
