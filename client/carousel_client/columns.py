"""What a step of many sessions is given, as columns: an entry for each session in every one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from carousel_client.codec import Codec, Inputs
from carousel_client.errors import InvalidRequest, ShapeMismatch
from carousel_client.model import Array

Int64s = npt.NDArray[np.int64]

# What a request has at most. Smaller ones leave room for others; larger ones gain nothing.
MAX_ROWS = 4096
MAX_BYTES = 4 << 20

_NO_POSITION = -1


@dataclass(frozen=True, slots=True)
class Columns:
    """Arrays that fit together. `inputs` by name; `packed` are those of them in which rows stand
    one behind the other, as `lengths` says; the others have a row for each session, of `num_steps`
    time steps. `positions`: -1 where none is named.
    """

    session_ids: Sequence[str]
    inputs: Mapping[str, Array]
    num_steps: int
    packed: frozenset[str]
    positions: Int64s | None
    lengths: Int64s | None

    @property
    def num_rows(self) -> int:
        """How many sessions there are."""
        return len(self.session_ids)

    def events(self, rows: Int64s) -> Int64s:
        """Where the time steps of some rows stand in what is packed."""
        assert self.lengths is not None
        ends = np.cumsum(self.lengths)
        lengths = self.lengths[rows]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        found: Int64s = np.repeat(ends[rows] - lengths, lengths) + within
        return found

    def tensors(self, rows: Int64s) -> dict[str, Array]:
        """What a request of some rows holds."""
        events = None if self.lengths is None else self.events(rows)
        found = {
            name: each[events if name in self.packed else rows]
            for name, each in self.inputs.items()
        }
        if self.positions is not None:
            found["position"] = self.positions[rows]
        if self.lengths is not None:
            found["lengths"] = self.lengths[rows]
        return found

    def may_repeat(self, row: int) -> bool:
        """Whether a row that is sent twice is done once."""
        return self.positions is not None and bool(self.positions[row] != _NO_POSITION)

    def parts(self, max_steps: int) -> Iterator[Int64s]:
        """Rows for one request after another: each as large as it may be, and one row at least."""
        rows = self.num_rows
        if not rows:
            return
        steps = np.full(rows, self.num_steps) if self.lengths is None else self.lengths
        widths = np.zeros(rows, np.int64)
        for name, each in self.inputs.items():
            if name in self.packed:
                widths += steps * (each.nbytes // max(1, len(each)))
            else:
                widths += each.nbytes // rows
        start = 0
        while start < rows:
            some = slice(start, start + MAX_ROWS)
            fits = (np.cumsum(steps[some]) <= max_steps) & (np.cumsum(widths[some]) <= MAX_BYTES)
            end = start + max(1, int(np.count_nonzero(fits)))
            yield np.arange(start, end)
            start = end


def make_columns(
    codec: Codec, session_ids: Any, inputs: Inputs, positions: Any, lengths: Any
) -> Columns:
    """The columns of what a caller gave; raises InvalidRequest and its subclasses."""
    ids = _ids(session_ids)
    counts = None if lengths is None else _integers(lengths, "lengths", len(ids))
    if counts is not None and (counts < 0).any():
        raise InvalidRequest("lengths: fewer than 0 given; expected a number of time steps")
    arrays = codec.cast_columns(inputs)
    packed = frozenset(
        each.name for each in codec.model.inputs if each.has_time and counts is not None
    )
    for name, array in arrays.items():
        expected = int(counts.sum()) if counts is not None and name in packed else len(ids)
        if array.ndim == 0 or len(array) != expected:
            said = "time steps, as lengths adds up to" if name in packed else "rows"
            raise ShapeMismatch(f"{name}: shape {array.shape} given; expected {expected} {said}")
    timed = [
        arrays[each.name].shape[1]
        for each in codec.model.inputs
        if each.has_time and arrays[each.name].ndim == 1 + len(each.shape)
    ]
    num_steps = max(timed, default=1)
    return Columns(ids, arrays, num_steps, packed, _positions(positions, len(ids)), counts)


def _ids(values: Any) -> list[str]:
    ids = list(values)
    first: dict[str, int] = {}
    for row, each in enumerate(ids):
        if not isinstance(each, str):
            raise InvalidRequest(f"session_ids[{row}]: {each!r} given; expected a string")
        if first.setdefault(each, row) != row:
            raise InvalidRequest(
                f"session_ids: rows {first[each]} and {row} name {each!r}; expected each id once",
                hint="steps of one session that follow each other are one row, with lengths",
            )
    return ids


def _positions(values: Any, count: int) -> Int64s | None:
    """-1 for None and, as in a DataFrame's column with gaps, for NaN."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.dtype.kind == "O":
        array = np.asarray([_NO_POSITION if each is None else each for each in array.tolist()])
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), _NO_POSITION, array)
        whole = array.astype(np.int64)
        if not np.array_equal(whole, array):
            raise InvalidRequest("positions: a fraction given; expected integers")
        array = whole
    return _integers(array, "positions", count)


def _integers(values: Any, name: str, count: int) -> Int64s:
    array = np.asarray(values)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.shape != (count,):
        raise InvalidRequest(
            f"{name}: {array.dtype.name} of shape {array.shape} given; expected {count} integers"
        )
    return array.astype(np.int64)
