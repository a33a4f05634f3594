"""The recorded replies of a session's last steps, packed: one run of bytes in memory and in stores.

A step adds one and drops what is beyond the bounds; only a repeat looks inside.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import repeat
from math import prod
from struct import Struct

import numpy as np

from carousel.models.row import Array

MAX_REPLIES = 8
MAX_REPLIES_BYTES = 4 << 10
MAX_REPLY_BYTES = 1 << 20

# How many replies follow, and how many bytes of outputs they hold together.
_ALL = Struct("<BI")
# One reply: its bytes, this included, and its bytes of outputs; base, position, digest, outputs.
_SIZES = Struct("<II")
_ENTRY = Struct("<IIqq16sB")
# One output: bytes of its name and of its dtype's, dimensions. Then the names, each dimension, and
# the values.
_LABEL = Struct("<HBB")
_NOT_KEPT = 255
_DIGEST_BYTES = 16
# Of more than this at once hashlib lets the interpreter go, and another thread takes it: for a
# microsecond of work, a wait. Of very much it should.
_AT_ONCE = 2047
_MAX_PIECEWISE = 32 * 1024


@dataclass(frozen=True, slots=True)
class RecordedReply:
    """A recorded reply: the step from `base` to `position` with inputs of this digest.

    `outputs` is None when they were too large to keep; `nbytes` is their size.
    """

    base: int
    position: int
    digest: bytes
    outputs: Mapping[str, Array] | None
    nbytes: int


def add_reply(
    replies: bytes,
    base: int,
    position: int,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
) -> bytes:
    """The replies to keep after a step, oldest first: its own always, and before it as many of
    `replies` as are small enough together. Outputs beyond 1 MiB are left out, and the reply says
    so.
    """
    nbytes = sum(array.nbytes for array in outputs.values())
    parts: list[bytes] = []
    num_outputs = _NOT_KEPT
    if nbytes > MAX_REPLY_BYTES:
        nbytes = 0
    else:
        num_outputs = len(outputs)
        for name, array in outputs.items():
            parts += _label(name, array.dtype, array.shape), array.tobytes()
    body = b"".join(parts)
    size = _ENTRY.size + len(body)
    entry = _ENTRY.pack(size, nbytes, base, position, digest(inputs), num_outputs)
    return _append(replies, nbytes, entry, body)


def add_block(
    replies: Sequence[bytes],
    bases: Sequence[int],
    num_steps: int,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
) -> list[bytes]:
    """`add_reply` for one step of each of B sessions, all as long; arrays of (B, ...)."""
    nbytes = sum(array.nbytes for array in outputs.values()) // len(bases)
    bodies: Iterable[bytes] = repeat(b"")
    num_outputs = _NOT_KEPT
    if nbytes > MAX_REPLY_BYTES:
        nbytes = 0
    else:
        num_outputs = len(outputs)
        bodies = _rows_of(list(outputs), outputs)
    digests = map(_digest, _rows_of(sorted(inputs), inputs))
    found: list[bytes] = []
    for earlier, base, key, body in zip(replies, bases, digests, bodies, strict=False):
        size = _ENTRY.size + len(body)
        entry = _ENTRY.pack(size, nbytes, base, base + num_steps, key, num_outputs)
        found.append(_append(earlier, nbytes, entry, body))
    return found


def _rows_of(names: Sequence[str], arrays: Mapping[str, Array]) -> Iterator[bytes]:
    """Of each row of (B, ...) what `add_reply` and `digest` make of the arrays that it is."""
    columns = [
        _cut_rows(_label(name, arrays[name].dtype, arrays[name].shape[1:]), arrays[name])
        for name in names
    ]
    return columns[0] if len(columns) == 1 else map(b"".join, zip(*columns, strict=True))


def _cut_rows(label: bytes, array: Array) -> Iterator[bytes]:
    data = array.tobytes()
    size = len(data) // len(array)
    return (label + data[row * size : (row + 1) * size] for row in range(len(array)))


def _append(replies: bytes, nbytes: int, entry: bytes, body: bytes) -> bytes:
    """`replies` less what has no room, and one more with `nbytes` of outputs."""
    count, total, offset = 0, nbytes, 0
    if replies:
        count, older = _ALL.unpack_from(replies)
        total, offset = total + older, _ALL.size
    while count and (count == MAX_REPLIES or total > MAX_REPLIES_BYTES):
        dropped, dropped_bytes = _SIZES.unpack_from(replies, offset)
        count, total, offset = count - 1, total - dropped_bytes, offset + dropped
    return b"".join((_ALL.pack(count + 1, total), replies[offset:], entry, body))


def shed_replies(replies: bytes) -> bytes:
    """What a full store keeps: the very last reply alone, without its outputs if they are beyond
    4 KiB.
    """
    if not replies:
        return replies
    count, _ = _ALL.unpack_from(replies)
    offset = _ALL.size
    for _ in range(count - 1):
        offset += _SIZES.unpack_from(replies, offset)[0]
    _, nbytes, base, position, key, _ = _ENTRY.unpack_from(replies, offset)
    if nbytes <= MAX_REPLIES_BYTES:
        return _ALL.pack(1, nbytes) + replies[offset:]
    return _ALL.pack(1, 0) + _ENTRY.pack(_ENTRY.size, 0, base, position, key, _NOT_KEPT)


def num_replies(replies: bytes) -> int:
    return replies[0] if replies else 0


def unpack_replies(replies: bytes) -> tuple[RecordedReply, ...]:
    """The replies, oldest first; their arrays are read-only views of `replies`."""
    found: list[RecordedReply] = []
    offset = _ALL.size
    for _ in range(num_replies(replies)):
        size, nbytes, base, position, key, num_outputs = _ENTRY.unpack_from(replies, offset)
        outputs = None
        if num_outputs != _NOT_KEPT:
            outputs = _unpack_outputs(replies, offset + _ENTRY.size, num_outputs)
        found.append(RecordedReply(base, position, key, outputs, nbytes))
        offset += size
    return tuple(found)


def digest(inputs: Mapping[str, Array]) -> bytes:
    """What tells decoded inputs apart: names, dtypes, shapes and values, however encoded."""
    parts: list[bytes] = []
    for name in sorted(inputs) if len(inputs) > 1 else inputs:
        array = inputs[name]
        parts += _label(name, array.dtype, array.shape), array.tobytes()
    return _digest(b"".join(parts))


def _digest(data: bytes) -> bytes:
    if not _AT_ONCE < len(data) <= _MAX_PIECEWISE:
        return sha256(data, usedforsecurity=False).digest()[:_DIGEST_BYTES]
    found = sha256(usedforsecurity=False)
    for start in range(0, len(data), _AT_ONCE):
        found.update(data[start : start + _AT_ONCE])
    return found.digest()[:_DIGEST_BYTES]


def _unpack_outputs(replies: bytes, offset: int, num_outputs: int) -> dict[str, Array]:
    outputs: dict[str, Array] = {}
    for _ in range(num_outputs):
        name_size, dtype_size, ndim = _LABEL.unpack_from(replies, offset)
        offset += _LABEL.size
        name = replies[offset : offset + name_size].decode()
        offset += name_size
        dtype = np.dtype(replies[offset : offset + dtype_size].decode())
        offset += dtype_size
        shape = tuple(np.frombuffer(replies, "<u8", ndim, offset).tolist())
        offset += 8 * ndim
        outputs[name] = np.frombuffer(replies, dtype, prod(shape), offset).reshape(shape)
        offset += outputs[name].nbytes
    return outputs


@lru_cache(maxsize=1024)
def _label(name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    """What stands before an array's values; the dtype's name says its byte order."""
    text, kind = name.encode(), dtype.str.encode()
    dimensions = np.asarray(shape, "<u8").tobytes()
    return _LABEL.pack(len(text), len(kind), len(shape)) + text + kind + dimensions
