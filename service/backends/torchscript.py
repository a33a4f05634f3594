"""TorchScript programs on the CPU or a CUDA device: one code path, over a HostLink."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from carousel.models.artifact import Artifact
from carousel.models.row import Array, RowLayout
from carousel.models.script_code import ScriptRefused, load_script
from carousel.service.backends.base import BackendRefused
from carousel.service.backends.host_link import HostLink
from carousel.service.backends.linked_backend import LinkedBackend
from carousel.service.backends.on_device import on_device

# What torch and programs (aten::warn) say to an author in Python: a line for each run of a step, of
# any words, and nothing that an operator could do about it.
warnings.filterwarnings("ignore", category=UserWarning)


class TorchScriptBackend(LinkedBackend):
    """Runs `model.ts` of an artifact. TF32 is off: answers stay within the exporter's tolerance."""

    def __init__(
        self, artifact: Artifact, layout: RowLayout, link: HostLink, *, threads: int
    ) -> None:
        """Raises ArtifactError for a file that differs, BackendRefused for one that will not
        load.
        """
        super().__init__(artifact.manifest.spec, layout, link)
        program = artifact.manifest.programs["torchscript"]
        self.mixed_lengths = program.ragged == "exact" and program.lengths is not None
        self._takes_lengths = program.lengths is not None
        data = artifact.read(program.file)
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        try:
            with link.running():
                self._program = load_script(torch, data, str(link.device)).eval()
        except ScriptRefused as error:
            raise BackendRefused(f"{program.file} is refused: {error}") from error
        except Exception as error:  # torch says all kinds of errors to a file that is none
            raise BackendRefused(f"torch refuses {program.file}: {error}") from error

    @on_device
    def run(
        self,
        inputs: Mapping[str, Array | torch.Tensor],
        states: Sequence[torch.Tensor],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[torch.Tensor]]:
        """Outputs, filled once `wait` has returned, and new states on the device.

        Raises DeviceFailed when CUDA itself is lost, any other exception for this batch's failure.
        """
        # Grad mode is per thread, so it is set here and not at load.
        with torch.inference_mode():
            given = [self._placed(inputs[each.name]) for each in self._spec.inputs]
            given += states
            if self._takes_lengths:
                given.append(torch.from_numpy(lengths))
            results = self._program(*given)
            flat = [results] if isinstance(results, torch.Tensor) else list(results)
            num_outputs = len(self._spec.outputs)
            return [self.link.fetch(each) for each in flat[:num_outputs]], flat[num_outputs:]

    def _placed(self, value: Array | torch.Tensor) -> torch.Tensor:
        return value if isinstance(value, torch.Tensor) else self.link.send(value)
