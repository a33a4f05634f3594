"""An ONNX file's bytes, read as far as it takes to see whether it reaches outside of itself.

A tensor may lie in another file, named by a path or, to ONNX Runtime, by an address in memory; a
path is followed from the folder that the process happens to be in. So the file is looked at before
the runtime has it, and without a library of ONNX, which a server need not have. Each message is
walked that can hold a tensor, those of subgraphs and of the file's own functions included.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_WIDTHS = {_FIXED_64: 8, _FIXED_32: 4}
_VARINT_BYTES = 10
_MAX_TAG = (1 << 32) - 1
_EMPTY = memoryview(b"")

# Fields of TensorProto in onnx.proto.
_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14


class OnnxRefused(Exception):
    """A file that is no ONNX, or not all of it. The message goes on behind the file's name."""


@dataclass(frozen=True, slots=True, eq=False)
class _Message:
    """A kind of message: its fields, by number, that lead to tensors."""

    fields: dict[int, "_Message"] = field(default_factory=dict)


# As in onnx.proto. A tensor of a graph is one of its initializers.
_TENSOR, _GRAPH, _NODE = _Message(), _Message(), _Message()
_SPARSE = _Message({1: _TENSOR, 2: _TENSOR})
_ATTRIBUTE = _Message({5: _TENSOR, 10: _TENSOR, 6: _GRAPH, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE})
_FUNCTION = _Message({7: _NODE, 11: _ATTRIBUTE})
_TRAINING = _Message({1: _GRAPH, 2: _GRAPH})
_MODEL = _Message({7: _GRAPH, 20: _TRAINING, 25: _FUNCTION})
_GRAPH.fields.update({1: _NODE, 5: _TENSOR, 15: _SPARSE})
_NODE.fields.update({5: _ATTRIBUTE})


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a message: a number, or bytes; of a fixed width it is neither."""

    tag: int
    number: int = 0
    content: memoryview = _EMPTY


def check_self_contained(data: bytes) -> None:
    """Raise OnnxRefused unless every tensor of the model in `data` lies in it."""
    waiting = [(memoryview(data), _MODEL)]
    while waiting:
        message, kind = waiting.pop()
        for each in _fields(message):
            if kind is _TENSOR and _lies_elsewhere(each):
                raise OnnxRefused(
                    f"the weight {_name(message)!r} lies in another file, which is not followed"
                )
            if each.tag in kind.fields:
                waiting.append((each.content, kind.fields[each.tag]))


def _lies_elsewhere(each: _Field) -> bool:
    return each.tag == _EXTERNAL_DATA or (each.tag == _DATA_LOCATION and each.number != 0)


def _name(tensor: memoryview) -> str:
    names = [bytes(each.content) for each in _fields(tensor) if each.tag == _NAME]
    return "".join(name.decode(errors="replace")[:200] for name in names[-1:])


def _fields(message: memoryview) -> Iterator[_Field]:
    """The fields of a message in their order; raises OnnxRefused for bytes that are none."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        tag, wire = key >> 3, key & 7
        if tag == 0 or key > _MAX_TAG:
            raise OnnxRefused("it is no ONNX file")
        if wire == _VARINT:
            number, place = _varint(message, place)
            yield _Field(tag, number=number)
            continue
        start = place
        if wire == _BYTES:
            size, start = _varint(message, place)
        elif wire in _WIDTHS:
            size = _WIDTHS[wire]
        else:
            # The groups of old, which no ONNX has, and which would have to be walked otherwise.
            raise OnnxRefused("it is no ONNX file")
        place = start + size
        if place > end:
            raise OnnxRefused("it is an ONNX file that was cut off")
        yield _Field(tag, content=message[start:place] if wire == _BYTES else _EMPTY)


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for index, byte in enumerate(message[place : place + _VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, place + index + 1
    raise OnnxRefused("it is an ONNX file that was cut off")
