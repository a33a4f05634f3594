"""Columns in safetensors, both ways: tensors by name, and all that is none in the metadata."""

from typing import Any

import numpy as np
import orjson
from safetensors.numpy import save

from carousel.models.row import Array
from carousel.models.spec import ModelSpec
from carousel.service.api.encoding.codec import Codec
from carousel.service.api.encoding.column_inputs import ColumnArrays
from carousel.service.api.encoding.column_tensor import Rows
from carousel.service.api.encoding.document import check_members
from carousel.service.api.v1.columnar.asked import HEAD, Asked, check_count, take_ids
from carousel.service.api.v1.columnar.columnar_outputs import errors_json, on_wire
from carousel.service.api.v1.columnar.columnar_request import ColumnarRequest, ColumnReader
from carousel.service.api.v1.media.safetensors import parse_tensors
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import InvalidRequest, Malformed, NotAcceptable, UnsupportedMediaType
from carousel.service.sessions.columns import ColumnReplies

# Of a header, beside its ids. An id has up to 128 characters, two quotes, each behind a backslash
# there, and a comma.
_HEADER_BYTES, _ID_BYTES = 64 * 1024, 136
# More than any model has inputs.
_MAX_TENSORS = 256

# What stands beside inputs, and beside outputs.
_ASKED = ("position", "lengths")
_TOLD = ("position", "status", "replayed", "opened")
_METADATA = "__metadata__"
_IDS = "session_ids"
# `format` is what other programs write into every file.
_MEMBERS = HEAD | {_IDS, "format"}


def max_header_bytes(max_rows: int) -> int:
    """How long the header of a request of so many rows may be."""
    return _HEADER_BYTES + max_rows * _ID_BYTES


def read_tensors(
    reader: ColumnReader, header: bytes, body: bytes, deadline: float
) -> ColumnarRequest:
    """The request that a safetensors body is, and its header; raises Malformed,
    UnsupportedMediaType for a model with an input of a name that is taken, and as
    `ColumnReader.read`.
    """
    max_rows = reader.limits.max_rows
    metadata = _metadata(header)
    # Told apart before they are strings of their own.
    check_count(metadata.get(_IDS, "").count('",') + 1, max_rows)
    entries = parse_tensors(body, max_header_bytes(max_rows))
    ids = take_ids({_IDS: _value(metadata, _IDS)} if _IDS in metadata else {}, max_rows)
    head = {name: _value(metadata, name) for name in HEAD if name in metadata}
    asked = Asked(head, ids, entries.pop("position", None), entries.pop("lengths", None))

    def read_arrays(codec: Codec, rows: Rows) -> ColumnArrays:
        return codec.columns.read_tensors(entries, rows, max_steps=reader.limits.max_steps)

    return reader.read(asked, deadline, read_arrays, refuse=_refuse_inputs)


def write_tensors(request: ColumnarRequest, replies: ColumnReplies) -> bytes:
    """What became of its rows: zeros where one is at fault."""
    columns = request.columns
    tensors: dict[str, Array] = {
        each.name: on_wire(request, replies, each) for each in columns.model.spec.outputs
    }
    tensors["position"] = replies.positions
    tensors["status"] = replies.status
    tensors["replayed"] = replies.replayed.view(np.uint8)
    if columns.open:
        tensors["opened"] = replies.opened.view(np.uint8)
    errors = errors_json(replies).decode()
    return save(
        {name: np.ascontiguousarray(each) for name, each in tensors.items()}, {"errors": errors}
    )


def require_free(spec: ModelSpec) -> None:
    """Raise NotAcceptable for a model whose outputs have a name that stands for something else."""
    for each in spec.outputs:
        if each.name in _TOLD:
            raise NotAcceptable(
                f"the model has an output {each.name}, and safetensors of many rows have another "
                f"tensor of that name; the answer in JSON has both",
                hint="send Accept: application/json",
            )


def _refuse_inputs(loaded: LoadedModel) -> None:
    for each in loaded.spec.sent_inputs:
        if each.name in _ASKED:
            raise UnsupportedMediaType(
                f"the model has an input {each.name}, and safetensors of many rows have another "
                "tensor of that name; send JSON"
            )


def _metadata(header: bytes) -> dict[str, str]:
    try:
        document = orjson.loads(header)
        metadata: dict[str, str] = document.get(_METADATA, {})
        is_text = all(type(each) is str for each in metadata.values())
    except (orjson.JSONDecodeError, AttributeError):
        raise Malformed("the body: its header is not that of a safetensors file") from None
    if not is_text:
        raise Malformed("the body: a value of its metadata is no string")
    if len(document) > _MAX_TENSORS:
        raise InvalidRequest(f"the body: {len(document)} tensors given; no model has so many")
    check_members(metadata, _MEMBERS, "metadata.")
    return metadata


def _value(metadata: dict[str, str], name: str) -> Any:
    """A member of the metadata; all but the model are JSON, in a string."""
    text = metadata[name]
    if name == "model":
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidRequest(f"metadata.{name}: {text[:100]!r} is not JSON") from None
