"""The pool of states in host memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carousel.models.row import Array, RowField, RowLayout
from carousel.models.spec import ModelSpec, StateSpec
from carousel.service.backends.base import ByteRows


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a state stands in rows (B, N), and the way to its model layout, worked out beforehand:
    for a lone step these few microseconds are a good part of all.
    """

    spec: StateSpec
    start: int
    stop: int
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    to_model: tuple[int, ...]

    @classmethod
    def of(cls, spec: StateSpec, field: RowField) -> "_Place":
        axis = spec.batch_axis or 0
        rest = range(1, len(field.shape) + 1)
        to_model = (*rest[:axis], 0, *rest[axis:])
        stop = field.offset + field.nbytes
        return cls(spec, field.offset, stop, field.dtype, field.shape, to_model)

    def view(self, rows: ByteRows) -> Array:
        """The state of each row, (B, session shape...), in place."""
        part = rows[:, self.start : self.stop].view(self.dtype)
        return part.reshape(len(rows), *self.shape)

    def model_view(self, rows: ByteRows) -> Array:
        """The same in model layout, in place, but that a fold still stands apart."""
        values = self.view(rows)
        if self.spec.batch_axis is None:
            return values[0, ...]  # a view, also of a single number
        return values.transpose(self.to_model)


class NumpyPool:
    """(S, N) bytes, a session's state a row; see backends/base.py for the promises."""

    def __init__(self, spec: ModelSpec, layout: RowLayout, num_slots: int) -> None:
        self.num_slots = num_slots
        self._nbytes = layout.nbytes
        fields = zip(spec.states, layout.fields, strict=True)
        self._places = [_Place.of(state, field) for state, field in fields]
        self._rows: ByteRows = np.empty((num_slots, layout.nbytes), np.uint8)  # (S, N)
        # The dtype of whole rows, if all is of one and must be finite: then one look is enough.
        dtypes = {each.dtype if each.spec.finite else None for each in self._places}
        common = dtypes.pop() if len(dtypes) == 1 else None
        self._common = common if common is not None and common.kind == "f" else None

    def __repr__(self) -> str:
        return f"<NumpyPool slots={self.num_slots} row_bytes={self._nbytes}>"

    def gather(self, slots: Sequence[int]) -> ByteRows:
        """The rows of `slots`, (B, N), as a copy."""
        return self._rows.take(slots, axis=0)

    def unpack(self, rows: ByteRows) -> list[Array]:
        """States in model layout from rows (B, N), as copies."""
        states: list[Array] = []
        for place in self._places:
            # Not ascontiguousarray, which makes (1,) of a single number.
            state = place.model_view(rows).copy(order="C")
            if place.spec.fold > 1:
                state = state.reshape(place.spec.model_shape(len(rows) * place.spec.fold, 1))
            states.append(state)
        return states

    def pack(self, states: Sequence[Array], rows: ByteRows) -> ByteRows:
        """`rows` (B, N) with the new states written into them."""
        new = iter(states)
        for place in self._places:
            if not place.spec.fixed:
                values, state = place.model_view(rows), next(new)
                values[...] = state if place.spec.fold == 1 else state.reshape(values.shape)
        return rows

    def finite(self, rows: ByteRows) -> npt.NDArray[np.bool_]:
        """Of each row whether its floating-point states are finite, (B,)."""
        good = np.ones(len(rows), np.bool_)  # (B,)
        if self._common is not None and np.isfinite(rows.view(self._common)).all():
            return good
        for place in self._places:
            if place.spec.finite and place.dtype.kind == "f":
                flat = place.view(rows).reshape(len(rows), -1)
                good &= np.isfinite(flat).all(axis=1)
        return good

    def scatter(self, slots: Sequence[int], rows: ByteRows) -> None:
        self._rows[slots] = rows

    def write(self, slot: int, row: bytes) -> None:
        self._rows[slot] = np.frombuffer(row, np.uint8)

    def to_host(self, rows: ByteRows, indexes: Sequence[int]) -> ByteRows:
        """Some of the rows, (W, N); all of them as they are."""
        return rows if len(indexes) == len(rows) else rows.take(indexes, axis=0)
