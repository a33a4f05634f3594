"""TorchScript programs on the CPU or a CUDA device: the one file of the service that imports torch.

One code path over `torch.device`; state rows stay on the device the program runs on.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from carousel.models.artifact import Artifact
from carousel.models.row import Array, RowLayout
from carousel.models.script_code import ScriptRefused, load_script
from carousel.models.spec import ModelSpec
from carousel.service.backends.base import BackendRefused, DeviceFailed

# What torch and programs (aten::warn) say to an author in Python: a line for each run of a step, of
# any words, and nothing that an operator could do about it.
warnings.filterwarnings("ignore", category=UserWarning)

_P = ParamSpec("_P")
_R = TypeVar("_R")


def tells_device_loss(method: Callable[_P, _R]) -> Callable[_P, _R]:
    """DeviceFailed for what CUDA reports of itself: it does so at whatever call comes next."""

    @wraps(method)
    def told(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return method(*args, **kwargs)
        except RuntimeError as error:
            if "CUDA error" in str(error):
                raise DeviceFailed(str(error)) from error
            raise

    return told


class TorchPool:
    """(S, N) bytes on a device, a session's state a row; see backends/base.py for the promises."""

    def __init__(
        self, spec: ModelSpec, layout: RowLayout, num_slots: int, device: torch.device
    ) -> None:
        self.num_slots = num_slots
        self._layout = layout
        self._states = spec.states
        self._device = device
        self._dtypes = [getattr(torch, state.dtype) for state in spec.states]
        self._rows = torch.empty((num_slots, layout.nbytes), dtype=torch.uint8, device=device)

    def __repr__(self) -> str:
        return f"<TorchPool {self._device} slots={self.num_slots}>"

    @tells_device_loss
    def gather(self, slots: Sequence[int]) -> torch.Tensor:
        """The rows of `slots`, (B, N), as a copy."""
        return self._rows.index_select(0, self._indexes(slots))

    @tells_device_loss
    def unpack(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """States in model layout from rows (B, N)."""
        states: list[torch.Tensor] = []
        for index, spec in enumerate(self._states):
            values = self._view(rows, index)  # (B, session shape...)
            axis = spec.batch_axis
            if axis is None:
                states.append(values[0].contiguous())
            else:
                moved = values.movedim(0, axis).contiguous()
                states.append(moved.reshape(spec.model_shape(len(rows) * spec.fold, 1)))
        return states

    @tells_device_loss
    def pack(self, states: Sequence[torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
        """`rows` (B, N) with the new states written over, as a copy: what the program gave may lie
        in `rows` itself.
        """
        rows = rows.clone()
        new = iter(states)
        for index, spec in enumerate(self._states):
            if spec.fixed:
                continue
            values = self._view(rows, index)  # (B, session shape...)
            state = next(new)
            if spec.batch_axis is None:
                values[0] = state
            else:
                moved = values.movedim(0, spec.batch_axis)
                moved.copy_(state.reshape(moved.shape))
        return rows

    @tells_device_loss
    def finite(self, rows: torch.Tensor) -> npt.NDArray[np.bool_]:
        """Of each row whether its floating-point states are finite, (B,)."""
        good = torch.ones(len(rows), dtype=torch.bool, device=self._device)  # (B,)
        for index, (spec, dtype) in enumerate(zip(self._states, self._dtypes, strict=True)):
            if spec.finite and dtype.is_floating_point:
                flat = self._view(rows, index).reshape(len(rows), -1)
                good &= torch.isfinite(flat).all(dim=1)
        return np.asarray(good.cpu().numpy())

    @tells_device_loss
    def scatter(self, slots: Sequence[int], rows: torch.Tensor) -> None:
        self._rows.index_copy_(0, self._indexes(slots), rows)

    @tells_device_loss
    def write(self, slot: int, row: bytes) -> None:
        """Write one row that comes from the host."""
        self._rows[slot].copy_(torch.frombuffer(bytearray(row), dtype=torch.uint8))

    @tells_device_loss
    def to_host(self, rows: torch.Tensor, indexes: Sequence[int]) -> list[bytes]:
        """Copies of some of the rows on the host."""
        host = rows.index_select(0, self._indexes(indexes)).cpu().numpy()
        return [row.tobytes() for row in host]

    def _indexes(self, slots: Sequence[int]) -> torch.Tensor:
        return torch.tensor(slots, dtype=torch.int64, device=self._device)

    def _view(self, rows: torch.Tensor, index: int) -> torch.Tensor:
        field = self._layout.fields[index]
        part = rows[:, field.offset : field.offset + field.nbytes].view(self._dtypes[index])
        return part.view(len(rows), *field.shape)


class TorchScriptBackend:
    """Runs `model.ts` of an artifact. TF32 is off: answers stay within the exporter's tolerance."""

    def __init__(self, artifact: Artifact, layout: RowLayout, *, device: str, threads: int) -> None:
        """Raises ArtifactError for a file that differs, BackendRefused for one that will not
        load.
        """
        self.device = device
        self._device = torch.device(device)
        self._spec = artifact.manifest.spec
        self._layout = layout
        program = artifact.manifest.programs["torchscript"]
        self.mixed_lengths = program.ragged == "exact" and program.lengths is not None
        self._takes_lengths = program.lengths is not None
        data = artifact.read(program.file)
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        try:
            self._program = load_script(torch, data, device).eval()
        except ScriptRefused as error:
            raise BackendRefused(f"{program.file} is refused: {error}") from error
        except Exception as error:  # torch says all kinds of errors to a file that is none
            raise BackendRefused(f"torch refuses {program.file}: {error}") from error

    def __repr__(self) -> str:
        return f"<TorchScriptBackend {self._device}>"

    def make_pool(self, num_slots: int) -> TorchPool:
        """A pool on this backend's device."""
        return TorchPool(self._spec, self._layout, num_slots, self._device)

    @tells_device_loss
    def place(self, array: Array) -> torch.Tensor:
        """The array as a tensor on this backend's device."""
        return torch.from_numpy(array).to(self._device)

    @tells_device_loss
    def join(self, parts: Sequence[torch.Tensor], axis: int) -> torch.Tensor:
        """Tensors one behind the other along `axis`."""
        return torch.cat(list(parts), axis)

    @tells_device_loss
    def run(
        self,
        inputs: Mapping[str, Array | torch.Tensor],
        states: Sequence[torch.Tensor],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[torch.Tensor]]:
        """Outputs on the host and new states on the device.

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
            return [each.cpu().numpy() for each in flat[:num_outputs]], flat[num_outputs:]

    def _placed(self, value: Array | torch.Tensor) -> torch.Tensor:
        return value if isinstance(value, torch.Tensor) else self.place(value)
