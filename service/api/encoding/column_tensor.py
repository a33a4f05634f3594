"""One input of many rows on the wire -> one checked array; the rows at fault are told apart.

The rule is that of tensor.py: what is right is read at once, all rows together. What that refuses
is read again, a row at a time, and each row that cannot be read is refused by itself.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import chain, starmap
from typing import Any

import numpy as np
import numpy.typing as npt

from carousel.models.row import Array
from carousel.service.api.encoding.explain import Shape, kind_of
from carousel.service.api.encoding.tensor import LETTERS, Entry, Tensor
from carousel.service.errors import (
    CarouselError,
    InvalidRequest,
    NonFiniteInput,
    OutOfRange,
    ShapeMismatch,
    forget_frames,
)

Int64s = npt.NDArray[np.int64]


@dataclass(slots=True)
class Rows:
    """How many rows a request has and, where they are packed, how many time steps each of them.

    `faults`: the rows that are refused already, and why.
    """

    count: int
    lengths: Int64s | None = None
    faults: dict[int, CarouselError] = field(default_factory=dict)

    @property
    def num_events(self) -> int:
        """How long a packed array is."""
        assert self.lengths is not None
        return int(self.lengths.sum())

    @property
    def ends(self) -> Int64s:
        """Where in a packed array each row ends."""
        assert self.lengths is not None
        return np.cumsum(self.lengths)

    def refuse(self, row: int, error: CarouselError) -> None:
        """The row is at fault; what was found first counts."""
        # Until the answer is told, thousands of errors would hold what they came through.
        forget_frames(error)
        self.faults.setdefault(row, error)


class ColumnTensor:
    """Reads one input of all rows: (B, T, F...) and (B, F...), or packed (N, F...)."""

    def __init__(self, tensor: Tensor) -> None:
        shape = tensor.shape
        self.has_time = tensor.has_time
        self._tensor = tensor
        self._sizes = tuple(axis for axis in shape.axes if isinstance(axis, int))
        # One time step, or what has none.
        self._step = Tensor(replace(shape, axes=self._sizes), max_steps=1)
        self._letter = LETTERS.get(shape.dtype, "")

    def __repr__(self) -> str:
        return f"<ColumnTensor {self._tensor.shape}>"

    def read_json(self, value: Any, rows: Rows, where: str, *, bools: bool) -> Array:
        """The array of a JSON value; `bools` says whether the document may hold a true or false.

        Raises ShapeMismatch or InvalidRequest for a fault that is no single row's.
        """
        length = self._check_length(value, rows, where)
        try:
            array = self._read_even(value, bools=bools)
        except (struct.error, TypeError, OverflowError):
            return self._read_rows(value, rows, where, bools=bools)
        self._check_sizes(array.shape[1:], length, rows, where)
        self._check_bounds(array, rows, where)
        return array

    def read_entry(self, entry: Entry, rows: Rows, where: str) -> Array:
        """The array of bytes that say what they are. Raises as `read_json`."""
        self._tensor.check_kind(entry.dtype, None, where)
        length = self._length(rows)
        if not entry.sizes or entry.sizes[0] != length:
            raise ShapeMismatch(
                f"{where}: the shape {list(entry.sizes)} given; expected {self._expected(rows)}"
            )
        self._check_sizes(tuple(entry.sizes[1:]), length, rows, where)
        array: Array = np.ndarray(tuple(entry.sizes), self._tensor.dtype, entry.data)
        self._check_values(array, rows, where)
        return array

    def is_packed(self, rows: Rows) -> bool:
        """Whether rows stand one behind the other in it."""
        return self.has_time and rows.lengths is not None

    def _length(self, rows: Rows) -> int:
        return rows.num_events if self.is_packed(rows) else rows.count

    def _check_length(self, value: Any, rows: Rows, where: str) -> int:
        length = self._length(rows)
        if type(value) is not list:
            raise InvalidRequest(
                f"{where}: {kind_of(value)} given; expected {self._expected(rows)}"
            )
        if len(value) != length:
            raise ShapeMismatch(f"{where}: {kind_of(value)} given; expected {self._expected(rows)}")
        return length

    def _check_sizes(self, sizes: tuple[int, ...], length: int, rows: Rows, where: str) -> None:
        """Raise ShapeMismatch unless these sizes may follow the first, which is right."""
        if sizes == self._sizes:
            return
        may_have_time = self.has_time and rows.lengths is None
        if may_have_time and len(sizes) == len(self._sizes) + 1 and sizes[1:] == self._sizes:
            if sizes[0]:
                return
            raise ShapeMismatch(f"{where}: no time step given; expected one or more")
        raise ShapeMismatch(
            f"{where}: the shape {[length, *sizes]} given; expected {self._expected(rows)}"
        )

    def _expected(self, rows: Rows) -> str:
        fixed = "".join(f"[{each}]" for each in self._sizes)
        dtype = self._tensor.shape.dtype
        if self.is_packed(rows):
            return f"{dtype}[{rows.num_events}]{fixed}, a time step each of what lengths adds up to"
        if not self.has_time:
            return f"{dtype}[{rows.count}]{fixed}, one for each session"
        return f"{dtype}[{rows.count}]{fixed} or {dtype}[{rows.count}][time]{fixed}"

    def _read_even(self, value: list[Any], *, bools: bool) -> Array:
        """The array of nested lists that are even and hold numbers of the right type alone; raises
        otherwise.
        """
        sizes = [len(value)]
        lists = [value]
        depth = _depth(value)
        if depth > len(self._sizes) + 2:
            raise TypeError
        for _ in range(depth - 1):
            lists = list(chain.from_iterable(lists))
            kinds, lengths = set(map(type, lists)), set(map(len, lists))
            if kinds != {list} or len(lengths) != 1:
                raise TypeError
            sizes += lengths
        array: Array = np.ndarray(tuple(sizes), self._tensor.dtype, self._pack(lists, bools))
        return array

    def _pack(self, lists: list[list[Any]], bools: bool) -> bytes:
        """The bytes of lists of one length, one behind the other."""
        kinds = set(map(type, chain.from_iterable(lists))) if bools else set()
        if not self._letter and kinds == {bool}:
            return b"".join(map(bytes, lists))
        if not self._letter or bool in kinds:
            raise TypeError
        pack = struct.Struct(f"<{len(lists[0])}{self._letter}").pack
        return b"".join(starmap(pack, lists))

    def _read_rows(self, value: list[Any], rows: Rows, where: str, *, bools: bool) -> Array:
        """The same a row at a time, or a time step at a time where they are packed."""
        tensor = self._row_tensor(value, rows)
        ends = rows.ends if self.is_packed(rows) else None
        found: dict[int, Array] = {}
        for index, each in enumerate(value):
            try:
                found[index] = tensor.read_json(each, f"{where}[{index}]", bools=bools)
            except InvalidRequest as error:
                row = index if ends is None else int(np.searchsorted(ends, index, "right"))
                rows.refuse(row, error)
        sizes = {len(each) for each in found.values()} if tensor.has_time else set()
        if len(sizes) > 1:
            raise ShapeMismatch(
                f"{where}: rows of {_some(sizes)} time steps given; expected one number of them",
                hint="rows of different lengths are packed, with lengths",
            )
        if not found:
            self._raise_if_misshapen(rows)
        num_steps = next(iter(sizes), 1)
        shape = (num_steps, *self._sizes) if tensor.has_time else self._sizes
        array: Array = np.zeros((len(value), *shape), self._tensor.dtype)
        for index, each_array in found.items():
            array[index] = each_array
        return array

    def _row_tensor(self, value: list[Any], rows: Rows) -> Tensor:
        """What each element is: by how deep the first one is that can be one of the two."""
        if not self.has_time or rows.lengths is not None:
            return self._step
        depths = (len(self._sizes), len(self._sizes) + 1)
        depth = next((found for each in value if (found := _depth(each)) in depths), depths[0])
        return self._tensor if depth == depths[1] else self._step

    def _raise_if_misshapen(self, rows: Rows) -> None:
        """Of an array in which no row is right, the first says what is wrong with all of it."""
        first = rows.faults[min(rows.faults)]
        if not isinstance(first, NonFiniteInput | OutOfRange):
            raise first

    def _check_values(self, array: Array, rows: Rows, where: str) -> None:
        """Refuse rows that hold what bytes can say and JSON cannot."""
        if array.dtype.kind == "f":
            finite = np.isfinite(array)
            if not finite.all():
                self._refuse_where(
                    ~finite,
                    rows,
                    where,
                    lambda place, _: NonFiniteInput(
                        f"{place}: NaN or an infinity given; expected finite numbers"
                    ),
                )
        elif array.dtype.kind == "b":
            wrong = array.view(np.uint8) > 1
            if wrong.any():
                self._refuse_where(
                    wrong,
                    rows,
                    where,
                    lambda place, _: OutOfRange(
                        f"{place}: a byte above 1 given; expected booleans, 0 or 1"
                    ),
                )
        else:
            self._check_bounds(array, rows, where)

    def _check_bounds(self, array: Array, rows: Rows, where: str) -> None:
        shape: Shape = self._tensor.shape
        if not shape.is_bounded or not array.size:
            return
        allowed = shape.range
        low, high = allowed[0], allowed[-1]
        if low <= int(array.min()) and int(array.max()) <= high:
            return

        def refuse(place: str, index: tuple[int, ...]) -> CarouselError:
            return OutOfRange(
                f"{place}: {array[index]} given; expected an integer from {low} to {high}"
            )

        wrong = np.less(array, low) | np.greater(array, high)
        self._refuse_where(wrong, rows, where, refuse)

    def _refuse_where(
        self,
        wrong: npt.NDArray[np.bool_],
        rows: Rows,
        where: str,
        refuse: Callable[[str, tuple[int, ...]], CarouselError],
    ) -> None:
        """Refuse each row that has a wrong value, naming the first of them."""
        flat = wrong.reshape(len(wrong), -1)
        indexes = np.flatnonzero(flat.any(1))
        owners = indexes
        if self.is_packed(rows):
            owners = np.searchsorted(rows.ends, indexes, "right")
        for index, row in zip(indexes.tolist(), owners.tolist(), strict=True):
            if row not in rows.faults:
                first = np.unravel_index(int(flat[index].argmax()), wrong.shape[1:])
                at = (index, *map(int, first))
                rows.refuse(row, refuse(where + "".join(f"[{each}]" for each in at), at))


def _depth(value: Any) -> int:
    """How many lists the first number stands in."""
    depth = 0
    while type(value) is list:
        depth += 1
        value = value[0] if value else None
    return depth


def _some(sizes: set[int]) -> str:
    return " and ".join(map(str, sorted(sizes)[:2]))
