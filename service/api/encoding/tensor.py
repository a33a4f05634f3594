"""One tensor on the wire: JSON lists, raw bytes or a safetensors entry -> a checked array.

The rule of this file: what is right is read by the fastest strict way there is, and whatever that
way refuses is read again, slowly, by explain.py, which finds and names the fault.
`struct` is that way: it takes no strings, nulls or lists for numbers, and no number that overflows
its format. It does take booleans, so they are asked for apart.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, starmap
from math import prod
from typing import Any

import numpy as np

from carousel.models.row import Array
from carousel.models.spec import TIME
from carousel.service.api.encoding.explain import Shape, explain
from carousel.service.errors import (
    NonFiniteInput,
    NonFiniteState,
    OutOfRange,
    SequenceTooLong,
    ShapeMismatch,
)

LETTERS = {
    "float16": "e", "float32": "f", "float64": "d", "uint8": "B",
    "int8": "b", "int16": "h", "int32": "i", "int64": "q",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """Bytes that say their own dtype, in numpy's words where it has one, and shape."""

    dtype: str
    sizes: Sequence[int]
    data: bytes


class Tensor:
    """Reads one tensor of a model; time stands first where it has time."""

    def __init__(self, shape: Shape, *, max_steps: int) -> None:
        self.shape = shape
        self.dtype = np.dtype(shape.dtype).newbyteorder("<")
        self.has_time = TIME in shape.axes
        self._fixed = tuple(axis for axis in shape.axes if isinstance(axis, int))
        self._step_bytes = prod(self._fixed) * self.dtype.itemsize
        self._one_step = (1, *self._fixed) if self.has_time else self._fixed
        self._max_steps = max_steps
        # Empty for booleans, which struct would take anything for.
        self._letter = LETTERS.get(shape.dtype, "")
        row_size = self._fixed[-1] if self._fixed else 0
        self._pack_row = struct.Struct(f"<{row_size}{self._letter or 'x'}").pack

    def __repr__(self) -> str:
        return f"<Tensor {self.shape}>"

    def read_json(self, value: Any, where: str, *, bools: bool) -> Array:
        """The array of a JSON value; `bools` says whether the document may hold a true or false.

        Raises InvalidRequest or one of its subclasses, naming `where`.
        """
        if self.has_time and type(value) is list and len(value) > self._max_steps:
            raise self._too_long(len(value), where)
        try:
            data = self._pack(value)
            if bools and _holds_bool(value, len(self.shape.axes)):
                raise TypeError
        except (struct.error, TypeError, OverflowError):
            return explain(value, self.shape, where)
        array: Array = np.ndarray(self._sizes(len(data)), self.dtype, data)
        if self.shape.is_bounded:
            self._check_bounds(array, where)
        return array

    def read_bytes(self, data: bytes, where: str) -> Array:
        """The array whose little-endian, row-major bytes `data` are."""
        if len(data) == self._step_bytes and self._step_bytes:
            step: Array = np.ndarray(self._one_step, self.dtype, data)
            self._check_values(step, where)
            return step
        num_steps, rest = divmod(len(data), self._step_bytes)
        if rest or num_steps == 0 or (num_steps != 1 and not self.has_time):
            times = "a positive multiple of " if self.has_time else ""
            raise ShapeMismatch(
                f"{where}: {len(data)} bytes given; expected {times}{self._step_bytes} bytes, "
                f"{self.shape} little-endian"
            )
        if num_steps > self._max_steps:
            raise self._too_long(num_steps, where)
        array: Array = np.ndarray(self._sizes(len(data)), self.dtype, data)
        self._check_values(array, where)
        return array

    def read_entry(self, entry: Entry, where: str) -> Array:
        """The array of bytes that say what they are."""
        self.check_kind(entry.dtype, entry.sizes, where)
        return self.read_bytes(entry.data, where)

    def check_kind(self, dtype: str | None, sizes: Sequence[int] | None, where: str) -> None:
        """Raises ShapeMismatch where bytes are said to be of another dtype or shape."""
        if dtype is not None and dtype != self.shape.dtype:
            raise ShapeMismatch(f"{where}: {dtype} given; expected {self.shape}")
        if sizes is None:
            return
        start = 1 if self.has_time else 0
        if len(sizes) != len(self.shape.axes) or tuple(sizes[start:]) != self._fixed:
            raise ShapeMismatch(f"{where}: the shape {list(sizes)} given; expected {self.shape}")

    def _pack(self, value: Any) -> bytes:
        """The bytes of nested lists that are exactly right in shape and type; raises otherwise."""
        axes = self.shape.axes
        if not self._letter:
            raise TypeError
        if not self._fixed:
            values = value if axes else (value,)
            if not values:
                raise TypeError
            return struct.pack(f"<{len(values)}{self._letter}", *values)
        if len(axes) == 1:
            return self._pack_row(*value)
        if not value or axes[0] not in (TIME, len(value)):
            raise TypeError
        rows: Iterable[Any] = value
        for axis in axes[1:-1]:
            rows = list(rows)
            if any(len(row) != axis for row in rows):
                raise TypeError
            rows = chain.from_iterable(rows)
        return b"".join(starmap(self._pack_row, rows))

    def _sizes(self, num_bytes: int) -> tuple[int, ...]:
        return (num_bytes // self._step_bytes, *self._fixed) if self.has_time else self._fixed

    def _check_values(self, array: Array, where: str) -> None:
        """Refuse what bytes can say and JSON cannot."""
        if array.dtype.kind == "f":
            # Twice as fast as isfinite().all() on the small arrays of a step.
            if self.shape.finite and b"\0" in np.isfinite(array).tobytes():
                error = NonFiniteState if self.shape.is_state else NonFiniteInput
                raise error(f"{where}: NaN or an infinity given; expected finite numbers")
        elif array.dtype.kind == "b":
            if array.view(np.uint8).max() > 1:
                raise OutOfRange(f"{where}: a byte above 1 given; expected booleans, 0 or 1")
        elif self.shape.is_bounded:
            self._check_bounds(array, where)

    def _check_bounds(self, array: Array, where: str) -> None:
        allowed = self.shape.range
        for value in (int(array.min()), int(array.max())):
            if value not in allowed:
                index = np.unravel_index(int(np.argmax(array == value)), array.shape)
                place = where + "".join(f"[{each}]" for each in index)
                raise OutOfRange(
                    f"{place}: {value} given; expected an integer from {allowed[0]} to "
                    f"{allowed[-1]}"
                )

    def _too_long(self, num_steps: int, where: str) -> SequenceTooLong:
        return SequenceTooLong(
            f"{where}: {num_steps} time steps given; a request may have {self._max_steps}"
        )


def _holds_bool(value: Any, depth: int) -> bool:
    if depth == 0:
        return type(value) is bool
    if depth == 1:
        return bool in set(map(type, value))
    return any(_holds_bool(each, depth - 1) for each in value)
