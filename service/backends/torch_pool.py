"""The pool of states on the device that a program runs on, as torch's tensors."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from carousel.models.row import RowLayout
from carousel.models.spec import ModelSpec
from carousel.service.backends.base import ByteRows
from carousel.service.backends.host_link import HostLink
from carousel.service.backends.on_device import on_device


class TorchPool:
    """(S, N) bytes on a device, a session's state a row; see backends/base.py for the promises."""

    def __init__(self, spec: ModelSpec, layout: RowLayout, num_slots: int, link: HostLink) -> None:
        self.link = link
        self.num_slots = num_slots
        self._layout = layout
        self._states = spec.states
        self._dtypes = [getattr(torch, state.dtype) for state in spec.states]
        self._rows = self._allocate()  # (S, N)

    def __repr__(self) -> str:
        return f"<TorchPool {self.link.device} slots={self.num_slots}>"

    @on_device
    def gather(self, slots: Sequence[int]) -> torch.Tensor:
        """The rows of `slots`, (B, N) bytes, as a copy."""
        return self._rows.index_select(0, self.link.indexes(slots))

    @on_device
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

    @on_device
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

    @on_device
    def finite(self, rows: torch.Tensor) -> npt.NDArray[np.bool_]:
        """Of each row whether its floating-point states are finite, (B,)."""
        good = torch.ones(len(rows), dtype=torch.bool, device=self.link.device)  # (B,)
        for index, (spec, dtype) in enumerate(zip(self._states, self._dtypes, strict=True)):
            if spec.finite and dtype.is_floating_point:
                flat = self._view(rows, index).reshape(len(rows), -1)
                good &= torch.isfinite(flat).all(dim=1)
        return self.link.fetch(good).astype(np.bool_, copy=False)

    @on_device
    def scatter(self, slots: Sequence[int], rows: torch.Tensor) -> None:
        """Write rows (B, N) into `slots`."""
        self._rows.index_copy_(0, self.link.indexes(slots), rows)

    @on_device
    def write(self, slot: int, row: bytes) -> None:
        """Write one row that comes from the host."""
        staged = self.link.stage(np.frombuffer(bytearray(row), np.uint8))  # (N,)
        self._rows[slot].copy_(staged, non_blocking=True)

    @on_device
    def to_host(self, rows: torch.Tensor, indexes: Sequence[int]) -> ByteRows:
        """Some of the rows on the host, (W, N)."""
        num_wanted = len(indexes)
        if num_wanted and indexes[-1] == num_wanted - 1:
            wanted = rows[:num_wanted]  # they ascend, so these are the first ones
        else:
            wanted = rows.index_select(0, self.link.indexes(indexes))
        return self.link.fetch(wanted).astype(np.uint8, copy=False)

    @on_device
    def _allocate(self) -> torch.Tensor:
        shape = (self.num_slots, self._layout.nbytes)
        return torch.empty(shape, dtype=torch.uint8, device=self.link.device)

    def _view(self, rows: torch.Tensor, index: int) -> torch.Tensor:
        field = self._layout.fields[index]
        part = rows[:, field.offset : field.offset + field.nbytes].view(self._dtypes[index])
        return part.view(len(rows), *field.shape)
