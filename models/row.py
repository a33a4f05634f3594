"""The state of one session as one run of bytes: the same in the pool, in a commit and in a
store.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from carousel.models.spec import StateSpec

Array = npt.NDArray[np.generic]

_ALIGN_BYTES = 16


@dataclass(frozen=True, slots=True)
class RowField:
    """Where one state stands in the row: `nbytes` from `offset`, an array of `shape` and
    `dtype`.
    """

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    offset: int
    nbytes: int


class RowLayout:
    """Packs the states of one session into `nbytes` bytes and back, little-endian, row-major,
    aligned.
    """

    def __init__(self, states: Sequence[StateSpec]) -> None:
        fields: list[RowField] = []
        offset = 0
        for state in states:
            dtype = np.dtype(state.dtype).newbyteorder("<")
            nbytes = prod(state.session_shape) * dtype.itemsize
            fields.append(RowField(state.name, dtype, state.session_shape, offset, nbytes))
            offset += -(-nbytes // _ALIGN_BYTES) * _ALIGN_BYTES
        self.fields = tuple(fields)
        self.nbytes = offset

    def __repr__(self) -> str:
        return f"<RowLayout nbytes={self.nbytes} fields={[field.name for field in self.fields]}>"

    def pack(self, values: Mapping[str, Array]) -> bytes:
        """Bytes of one session's state; `values` holds every state in its session shape."""
        row = bytearray(self.nbytes)
        for field in self.fields:
            value = np.asarray(values[field.name], dtype=field.dtype)
            assert value.shape == field.shape, f"{field.name}: {value.shape}, not {field.shape}"
            row[field.offset : field.offset + field.nbytes] = value.tobytes()
        return bytes(row)

    def unpack(self, row: bytes) -> dict[str, Array]:
        """The states of one session by name, in session shape; read-only views of `row`."""
        assert len(row) == self.nbytes, f"a row of {len(row)} bytes, not {self.nbytes}"
        return {
            field.name: np.frombuffer(row, field.dtype, prod(field.shape), field.offset).reshape(
                field.shape
            )
            for field in self.fields
        }
