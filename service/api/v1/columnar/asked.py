"""What a request of columns says beside its inputs, checked for all rows together."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from carousel.service.api.encoding.column_tensor import Int64s, Rows
from carousel.service.api.encoding.document import check_position, take_list
from carousel.service.api.encoding.explain import kind_of
from carousel.service.api.encoding.tensor import Entry
from carousel.service.api.v1.control_bodies import ID_PATTERN, invalid
from carousel.service.api.v1.data_bodies import ColumnarHead
from carousel.service.errors import (
    InvalidRequest,
    SequenceTooLong,
    ShapeMismatch,
)
from carousel.service.sessions.columns import NO_POSITION
from carousel.service.sessions.sequences import PREFIX

HEAD = frozenset(ColumnarHead.model_fields)

_ID = ID_PATTERN.removeprefix("^").removesuffix("$")
_MAY_OPEN = re.compile(rf"(?!{re.escape(PREFIX)}){_ID}")
_ALL_MAY_OPEN = re.compile(rf"(?:{_MAY_OPEN.pattern}\n)*")


@dataclass(slots=True)
class Asked:
    """The members of a request: `head`, those that hold for all rows; the columns are what JSON or
    safetensors had of them, None where they were left out.
    """

    head: dict[str, Any]
    session_ids: list[str]
    positions: Any
    lengths: Any


@dataclass(frozen=True, slots=True)
class ColumnLimits:
    """What a request may have: `max_steps` of all rows together."""

    max_rows: int
    max_steps: int
    max_ttl_s: float


def read_head(asked: Asked, limits: ColumnLimits) -> ColumnarHead:
    """What holds for all rows; raises InvalidRequest."""
    try:
        head = ColumnarHead.model_validate(asked.head)
    except ValidationError as error:
        raise invalid(error.errors(), sorted(HEAD)) from None
    if head.ttl_s is not None and head.ttl_s > limits.max_ttl_s:
        raise InvalidRequest(
            f"ttl_s: {head.ttl_s:.15g} given; expected 1 to {limits.max_ttl_s:.15g} seconds"
        )
    return head


def take_ids(document: Mapping[str, Any], max_rows: int) -> list[str]:
    """The member `session_ids`: strings, each of them once. Raises InvalidRequest."""
    ids = take_list(dict(document), "session_ids")
    check_count(len(ids), max_rows)
    if set(map(type, ids)) != {str}:
        row = next(row for row, each in enumerate(ids) if type(each) is not str)
        raise InvalidRequest(
            f"session_ids[{row}]: {kind_of(ids[row])} given; expected a session's id"
        )
    if len(set(ids)) < len(ids):
        twice, _ = Counter(ids).most_common(1)[0]
        rows = [row for row, each in enumerate(ids) if each == twice]
        raise InvalidRequest(
            f"session_ids: rows {', '.join(map(str, rows))} name {twice!r}; expected each id once",
            hint="steps of one session that follow each other are one row, of several time steps",
            rows=list(rows),
        )
    return ids


def check_count(num_rows: int, max_rows: int) -> None:
    """Raise SequenceTooLong for more rows than a request may have."""
    if num_rows > max_rows:
        raise SequenceTooLong(
            f"session_ids: {num_rows} given; a request may have {max_rows} rows",
            hint="the service's CAROUSEL_MAX_BULK_ROWS bounds them",
        )


def refuse_ids(ids: list[str], rows: Rows) -> None:
    """Refuse the rows whose id no session can be opened by."""
    # At once where all are right.
    text = "\n".join([*ids, ""])
    if text.count("\n") == len(ids) and _ALL_MAY_OPEN.fullmatch(text) is not None:
        return
    for row, each in enumerate(ids):
        if _MAY_OPEN.fullmatch(each) is None:
            rows.refuse(
                row,
                InvalidRequest(
                    f"session_ids[{row}]: {each!r} given; a session is opened by an id of up to "
                    f"128 letters, digits and ._:@~- that does not begin with {PREFIX}"
                ),
            )


def read_lengths(value: Any, count: int, max_steps: int) -> Int64s | None:
    """How many time steps each row has, (B,); raises InvalidRequest, also for a single row's: where
    the next one begins cannot be told then.
    """
    if value is None:
        return None
    if isinstance(value, Entry):
        lengths = _column(value, "lengths", count)
    else:
        values = _list(value, "lengths", count)
        wrong = next((row for row, each in enumerate(values) if type(each) is not int), None)
        if wrong is not None:
            raise InvalidRequest(
                f"lengths[{wrong}]: {kind_of(values[wrong])} given; expected a number of time steps"
            )
        largest = np.iinfo(np.int64).max
        lengths = np.array([min(max(each, -1), largest) for each in values], np.int64)
    if int(lengths.min()) < 0:
        row = int(lengths.argmin())
        raise InvalidRequest(f"lengths[{row}]: fewer than 0 given; expected a number of time steps")
    # Each, before they are added up: a sum of 64 bits may come out small.
    total = max(int(lengths.max()), int(lengths.sum()))
    if total > max_steps:
        raise SequenceTooLong(f"lengths: {total} time steps given; a request may have {max_steps}")
    return lengths


def read_positions(value: Any, rows: Rows) -> Int64s | None:
    """Where each row starts, (B,), NO_POSITION where it does not say it. A row that names what is
    no position is refused by itself.
    """
    if value is None:
        return None
    if isinstance(value, Entry):
        positions = _column(value, "position", rows.count)
        for row in np.flatnonzero(positions < NO_POSITION).tolist():
            error = f"position[{row}]: {positions[row]} given; expected 0 or more, or -1 for none"
            rows.refuse(row, InvalidRequest(error))
        return positions
    values = _list(value, "positions", rows.count)
    if set(map(type, values)) == {int} and min(values) >= 0 and max(values) < 2**63:
        return np.array(values, np.int64)
    positions = np.full(rows.count, NO_POSITION, np.int64)
    for row, each in enumerate(values):
        if each is None:
            continue
        try:
            positions[row] = check_position(each, f"positions[{row}]")
        except InvalidRequest as error:
            rows.refuse(row, error)
    return positions


def _list(value: Any, name: str, count: int) -> list[Any]:
    if type(value) is not list or len(value) != count:
        raise ShapeMismatch(
            f"{name}: {kind_of(value)} given; expected a list of {count}, one for each session"
        )
    return value


def _column(entry: Entry, name: str, count: int) -> Int64s:
    if entry.dtype != "int64" or tuple(entry.sizes) != (count,):
        raise ShapeMismatch(
            f"{name}: {entry.dtype}{list(entry.sizes)} given; expected int64[{count}], one for "
            "each session"
        )
    return np.frombuffer(entry.data, "<i8")
