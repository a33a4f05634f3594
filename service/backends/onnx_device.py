"""ONNX programs through ONNX Runtime's CUDA provider, bound to torch's tensors where they lie.

One code path over a HostLink: on the CPU it is the CPU provider that is bound to tensors. States,
inputs and results stay on the device; the runtime runs on the link's own stream, behind what torch
has begun there, and does not wait for the end of a run. What the program wants in host memory (row
lengths, shapes, as a rule) is bound there, so that the runtime has nothing to copy: it would do
that on a stream that knows nothing of ours.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import torch

from carousel.models.artifact import Artifact
from carousel.models.row import Array, RowLayout
from carousel.models.spec import TensorSpec
from carousel.service.backends.base import BackendRefused
from carousel.service.backends.host_link import HostLink
from carousel.service.backends.linked_backend import LinkedBackend
from carousel.service.backends.on_device import on_device
from carousel.service.backends.onnx_program import CPU, OnnxProgram

CUDA_PROVIDER = "CUDAExecutionProvider"
# The end of a run is none for the device yet (onnxruntime_run_options_config_keys.h).
_NO_WAIT = "disable_synchronize_execution_providers"


class OnnxDeviceBackend(LinkedBackend):
    """Runs `model.onnx` of an artifact on the device of a link. TF32 is off, as in TorchScript."""

    def __init__(
        self, artifact: Artifact, layout: RowLayout, link: HostLink, *, threads: int
    ) -> None:
        """Raises ArtifactError for a file that differs, BackendRefused for one that will not
        load.
        """
        self._program = OnnxProgram(artifact, threads=threads, providers=_providers(link))
        super().__init__(self._program.spec, layout, link)
        self._session = self._program.session
        self.mixed_lengths = self._program.mixed_lengths
        if link.is_cuda and CUDA_PROVIDER not in self._session.get_providers():
            raise BackendRefused("ONNX Runtime's CUDA provider does not start on this machine")
        given = zip(self._session.get_inputs(), self._session.get_input_memory_infos(), strict=True)
        self._on_host = {each.name for each, memory in given if _is_on_host(memory.name)}
        self._no_wait = ort.RunOptions()
        self._no_wait.add_run_config_entry(_NO_WAIT, "1")

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
        binding = self._session.io_binding()
        feeds = self._program.feeds(inputs, states, lengths)
        # A tensor that is dropped goes back to torch, which uses it again behind the run.
        bound = {name: self._placed(name, value) for name, value in feeds.items()}
        for name, value in bound.items():
            binding.bind_input(name, *_address(value))
        results = self._results(len(lengths), int(lengths.max()))
        for name, value in zip(self._program.output_names, results, strict=True):
            binding.bind_output(name, *_address(value))
        self._session.run_with_iobinding(binding, self._no_wait)
        num_outputs = len(self._spec.outputs)
        return [self.link.fetch(each) for each in results[:num_outputs]], results[num_outputs:]

    def _placed(self, name: str, value: Array | torch.Tensor) -> torch.Tensor:
        if name in self._on_host:
            on_host = value.cpu() if isinstance(value, torch.Tensor) else torch.from_numpy(value)
            return on_host.contiguous()
        tensor = value if isinstance(value, torch.Tensor) else self.link.send(value)
        return tensor.contiguous()

    def _results(self, num_rows: int, num_steps: int) -> list[torch.Tensor]:
        """Memory for what comes out; a program that gives another shape fails."""
        results = [
            self._empty(each, num_rows, each.num_steps(num_steps)) for each in self._spec.outputs
        ]
        results += [
            self._empty(each, num_rows * each.fold, 1)
            for each in self._spec.states
            if each.output is not None
        ]
        return results

    def _empty(self, spec: TensorSpec, num_rows: int, num_steps: int) -> torch.Tensor:
        dtype: torch.dtype = getattr(torch, spec.dtype)
        shape = spec.model_shape(num_rows, num_steps)
        return torch.empty(shape, dtype=dtype, device=self.link.device)


def _is_on_host(memory: str) -> bool:
    """By its name: Cpu, CudaPinned, Cuda."""
    return "cpu" in memory.lower() or "pinned" in memory.lower()


def _providers(link: HostLink) -> Sequence[Any]:
    if not link.is_cuda:
        return CPU
    options = {
        "device_id": str(link.device.index or 0),
        "user_compute_stream": str(link.stream_handle),
        "use_tf32": "0",
        # The usual one tries all there are, at each new shape.
        "cudnn_conv_algo_search": "HEURISTIC",
    }
    return [(CUDA_PROVIDER, options), *CPU]


def _address(tensor: torch.Tensor) -> tuple[str, int, Any, tuple[int, ...], int]:
    """A tensor's memory in the words of an IO binding."""
    dtype = np.dtype(str(tensor.dtype).removeprefix("torch.")).type
    device = tensor.device
    return device.type, device.index or 0, dtype, tuple(tensor.shape), tensor.data_ptr()
