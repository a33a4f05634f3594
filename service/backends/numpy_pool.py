"""The pool of states in host memory."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.row import Array, RowLayout
from models.spec import ModelSpec

ByteRows = npt.NDArray[np.uint8]


class NumpyPool:
    """(S, N) bytes, a session's state a row; see backends/base.py for the promises."""

    def __init__(self, spec: ModelSpec, layout: RowLayout, num_slots: int) -> None:
        self.num_slots = num_slots
        self._layout = layout
        self._states = spec.states
        self._rows: ByteRows = np.empty((num_slots, layout.nbytes), np.uint8)  # (S, N)

    def __repr__(self) -> str:
        return f"<NumpyPool slots={self.num_slots} row_bytes={self._layout.nbytes}>"

    def gather(self, slots: Sequence[int]) -> ByteRows:
        """The rows of `slots`, (B, N), as a copy."""
        return self._rows.take(slots, axis=0)

    def unpack(self, rows: ByteRows) -> list[Array]:
        """States in model layout from rows (B, N)."""
        states: list[Array] = []
        for index, spec in enumerate(self._states):
            values = self._view(rows, index)  # (B, session shape...)
            axis = spec.batch_axis
            if axis is None:
                states.append(values[0].copy())
            else:
                moved = np.ascontiguousarray(np.moveaxis(values, 0, axis))
                states.append(moved.reshape(spec.model_shape(len(rows) * spec.fold, 1)))
        return states

    def pack(self, states: Sequence[Array], rows: ByteRows) -> ByteRows:
        """`rows` (B, N) with the new states written into them."""
        new = iter(states)
        for index, spec in enumerate(self._states):
            if spec.fixed:
                continue
            values = self._view(rows, index)  # (B, session shape...)
            state = next(new)
            if spec.batch_axis is None:
                values[0] = state
            else:
                moved = np.moveaxis(values, 0, spec.batch_axis)
                moved[...] = state.reshape(moved.shape)
        return rows

    def finite(self, rows: ByteRows) -> npt.NDArray[np.bool_]:
        """Of each row whether its floating-point states are finite, (B,)."""
        good = np.ones(len(rows), np.bool_)  # (B,)
        for index, (spec, field) in enumerate(zip(self._states, self._layout.fields, strict=True)):
            if spec.finite and field.dtype.kind == "f":
                flat = self._view(rows, index).reshape(len(rows), -1)
                good &= np.isfinite(flat).all(axis=1)
        return good

    def scatter(self, slots: Sequence[int], rows: ByteRows) -> None:
        """Write rows (B, N) into `slots`."""
        self._rows[slots] = rows

    def write(self, slot: int, row: bytes) -> None:
        """Write one row."""
        self._rows[slot] = np.frombuffer(row, np.uint8)

    def to_host(self, rows: ByteRows, indexes: Sequence[int]) -> list[bytes]:
        """Copies of some of the rows."""
        data, size = rows.tobytes(), self._layout.nbytes
        return [data[index * size : (index + 1) * size] for index in indexes]

    def _view(self, rows: ByteRows, index: int) -> Array:
        field = self._layout.fields[index]
        part = rows[:, field.offset : field.offset + field.nbytes].view(field.dtype)
        return part.reshape(len(rows), *field.shape)
