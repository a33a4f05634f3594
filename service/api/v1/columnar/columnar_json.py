"""Columns in JSON, both ways."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from carousel.models.row import Array
from carousel.service.api.encoding.arrays import rows_json
from carousel.service.api.encoding.document import check_members, may_hold_bools
from carousel.service.api.v1.columnar.asked import HEAD, Asked, take_ids
from carousel.service.api.v1.columnar.columnar_outputs import errors_json, on_wire
from carousel.service.api.v1.columnar.columnar_request import ColumnarRequest, ColumnReader
from carousel.service.api.v1.data_bodies import ColumnarBody
from carousel.service.errors import InvalidRequest
from carousel.service.sessions.columns import NO_POSITION, ColumnReplies, Columns, Int64s

_FIELDS = frozenset(ColumnarBody.model_fields)


def read_json(
    reader: ColumnReader, document: dict[str, Any], body: bytes, deadline: float
) -> ColumnarRequest:
    """The request that a JSON object is, `body` as text; raises as `ColumnReader.read`."""
    check_members(document, _FIELDS)
    if "inputs" not in document:
        raise InvalidRequest("inputs: nothing given; expected the next time steps of each session")
    asked = Asked(
        {name: document[name] for name in HEAD if name in document},
        take_ids(document, reader.limits.max_rows),
        document.get("positions"),
        document.get("lengths"),
    )
    bools = may_hold_bools(body)
    return reader.read(
        asked,
        deadline,
        lambda codec, rows: codec.columns.read_json(
            document["inputs"], rows, bools=bools, max_steps=reader.limits.max_steps
        ),
    )


def write_json(request: ColumnarRequest, replies: ColumnReplies) -> bytes:
    """What became of its rows: null where one is at fault."""
    columns = request.columns
    outputs = [
        (
            each.name,
            _column(columns, replies, on_wire(request, replies, each), columns.is_timed(each)),
        )
        for each in columns.model.spec.outputs
    ]
    members = [
        (b"outputs", outputs[0][1] if len(outputs) == 1 else _object(outputs)),
        (b"positions", _positions(replies.positions)),
    ]
    for name, marks in ((b"replayed", replies.replayed), (b"opened", replies.opened)):
        if marks.any():
            members.append((name, orjson.dumps(np.flatnonzero(marks).tolist())))
    members.append((b"errors", errors_json(replies)))
    return b"{%b}" % b",".join(b'"%b":%b' % each for each in members)


def _column(columns: Columns, replies: ColumnReplies, array: Array, timed: bool) -> bytes:
    return rows_json(array, _gaps(columns, replies, packed=timed and columns.lengths is not None))


def _gaps(columns: Columns, replies: ColumnReplies, *, packed: bool) -> Sequence[int]:
    """Which elements of a column are those of rows at fault."""
    rows = sorted(replies.errors)
    if not rows or not packed:
        return rows
    assert columns.lengths is not None
    at_fault = np.zeros(columns.num_rows, np.bool_)
    at_fault[rows] = True
    found: list[int] = np.flatnonzero(np.repeat(at_fault, columns.lengths)).tolist()
    return found


def _positions(positions: Int64s) -> bytes:
    known = positions.tolist()
    if positions.min() == NO_POSITION:
        known = [None if each == NO_POSITION else each for each in known]
    return orjson.dumps(known)


def _object(members: Sequence[tuple[str, bytes]]) -> bytes:
    return b"{%b}" % b",".join(b"%b:%b" % (orjson.dumps(name), text) for name, text in members)
