"""An ONNX file's bytes, read as far as it takes to see what it would do to whoever loads it.

A tensor may lie in another file, named by a path or, to ONNX Runtime, by an address in memory; a
path is followed from the folder that the process happens to be in. So the file is looked at before
the runtime has it, and without a library of ONNX, which a server need not have. Each message is
walked that can hold a tensor, those of subgraphs and of the file's own functions included.

The runtime writes out each call of such a function, and the calls in that: 17 functions of two
calls each, in a kilobyte, kept it for two minutes. So calls are counted as it would write them out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_WIDTHS = {_FIXED_64: 8, _FIXED_32: 4}
_VARINT_BYTES = 10
_MAX_TAG = (1 << 32) - 1
_EMPTY = memoryview(b"")

# Fields in onnx.proto, of TensorProto,
_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14
# and what a function is called by, in NodeProto and in FunctionProto.
_CALLED, _CALLED_DOMAIN, _CALLED_OVERLOAD = 4, 7, 8
_DEFINED, _DEFINED_DOMAIN, _DEFINED_OVERLOAD = 1, 10, 13

_MOST_FUNCTIONS = 1000
_MOST_NODES = 50_000  # of functions, written out

_WHOLE = "save it whole: onnx.save(onnx.load(FILE), OTHER, save_as_external_data=False)"
_INLINE = "write out its functions: onnx.inliner.inline_local_functions"


class OnnxRefused(Exception):
    """A file that may not be loaded, and what its author can do. The message goes on behind the
    file's name.
    """

    def __init__(self, reason: str, way_out: str = "save it again") -> None:
        super().__init__(reason)
        self.way_out = way_out


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


_Called = tuple[bytes, bytes, bytes]  # name, domain, overload
_THE_GRAPH: _Called = (b"", b"", b"")


def check_onnx(data: bytes) -> None:
    """Raise OnnxRefused unless every tensor of the model in `data` lies in it, and what it writes
    out of its functions is of a size that can be loaded.
    """
    calls: dict[_Called, list[_Called]] = {_THE_GRAPH: []}
    waiting = [(memoryview(data), _MODEL, _THE_GRAPH)]
    while waiting:
        message, kind, owner = waiting.pop()
        found = list(_fields(message))
        if kind is _TENSOR:
            _check_tensor(found)
        elif kind is _NODE:
            calls[owner].append(_called(found, _CALLED, _CALLED_DOMAIN, _CALLED_OVERLOAD))
        elif kind is _FUNCTION:
            owner = _called(found, _DEFINED, _DEFINED_DOMAIN, _DEFINED_OVERLOAD)
            calls.setdefault(owner, [])
        inside = [each for each in found if each.tag in kind.fields]
        waiting += [(each.content, kind.fields[each.tag], owner) for each in inside]
    _check_calls(calls)


def _check_tensor(found: Sequence[_Field]) -> None:
    if any(_lies_elsewhere(each) for each in found):
        name = _text(found, _NAME).decode(errors="replace")[:200]
        raise OnnxRefused(
            f"the weight {name!r} lies in another file, which is not followed", _WHOLE
        )


def _check_calls(calls: Mapping[_Called, Sequence[_Called]]) -> None:
    """Refuse functions that call themselves, or become too many nodes."""
    if len(calls) > _MOST_FUNCTIONS:
        raise OnnxRefused(f"it has {len(calls) - 1} functions of its own", _INLINE)
    own = {owner: [each for each in called if each in calls] for owner, called in calls.items()}
    sizes = {owner: len(called) for owner, called in calls.items()}
    sizes[_THE_GRAPH] = 0  # its nodes are as many as they are
    plain = dict(sizes)
    # As many rounds as there are calls inside of calls; a function that calls itself has no end.
    for _ in calls:
        before = dict(sizes)
        for owner, called in own.items():
            sizes[owner] = plain[owner] + sum(sizes[each] for each in called)
        if sizes == before:
            return
        if max(sizes.values()) > _MOST_NODES:
            break
    raise OnnxRefused("its functions call one another until they are too many nodes", _INLINE)


def _called(found: Sequence[_Field], name: int, domain: int, overload: int) -> _Called:
    space = _text(found, domain)
    return _text(found, name), b"" if space == b"ai.onnx" else space, _text(found, overload)


def _text(found: Sequence[_Field], tag: int) -> bytes:
    """A field of text; the last one counts, as wherever it is read."""
    return next((bytes(each.content) for each in reversed(found) if each.tag == tag), b"")


def _lies_elsewhere(each: _Field) -> bool:
    return each.tag == _EXTERNAL_DATA or (each.tag == _DATA_LOCATION and each.number != 0)


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
