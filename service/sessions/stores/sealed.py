"""A record as bytes under checksums, as stores outside this process keep it.

A sealed head stands on its own, and says how long its state is and what that sums to. Whatever was
cut, flipped or exchanged is found when it is read: crc32 over everything, the revision included.
"""

from dataclasses import dataclass
from struct import Struct, error
from sys import intern
from zlib import crc32

from carousel.service.sessions.record import Head, Origin, Record

# Checksum of all that follows; checksum and bytes of the state; version, position, used_at; bytes
# of the origin and of the replies, which follow in this order; flags.
_HEAD = Struct("<IIIIqdIIB")
_CHECKED = 4
_ENDED, _STARTED = 1, 2
# created_at, ttl_s; bytes of tenant, id, model, state_id, which follow in this order.
_ORIGIN = Struct("<ddHHHH")


class Damage(Exception):
    """Bytes that are not what was written."""


@dataclass(frozen=True, slots=True)
class SealedHead:
    """A head that was read and is sound; the state it belongs to may still not be."""

    head: Head
    state_bytes: int
    state_crc: int


def seal(record: Record) -> bytes:
    """The head, sealed; its revision and the state are stored beside it as they are."""
    head, state = record.head, record.state
    origin = head.origin
    packed = origin.packed
    if not packed:
        packed = origin.packed = _pack_origin(origin)
    fixed = _HEAD.pack(
        0,
        crc32(state),
        len(state),
        head.version,
        head.position,
        head.used_at,
        len(packed),
        len(head.replies),
        head.ended * _ENDED | head.started * _STARTED,
    )
    body = b"".join((fixed[_CHECKED:], packed, head.replies))
    return crc32(body, crc32(head.revision)).to_bytes(_CHECKED, "little") + body


def unseal_head(revision: bytes, data: bytes) -> SealedHead:
    """A head; raises Damage."""
    view = memoryview(data)
    if len(data) < _HEAD.size or crc32(view[_CHECKED:], crc32(revision)) != int.from_bytes(
        data[:_CHECKED], "little"
    ):
        raise Damage("the head's checksum differs")
    try:
        fixed = _HEAD.unpack_from(data)
        _, crc, nbytes, version, position, used_at, origin_size, replies_size, flags = fixed
        start = _HEAD.size + origin_size
        if len(data) != start + replies_size:
            raise Damage("the head has another length than it says")
        origin = _unpack_origin(data[_HEAD.size : start])
    except (error, UnicodeDecodeError) as problem:
        raise Damage("the head cannot be read") from problem
    ended, started = bool(flags & _ENDED), bool(flags & _STARTED)
    head = Head(origin, version, revision, position, used_at, data[start:], ended, started)
    return SealedHead(head, nbytes, crc)


def unseal(revision: bytes, data: bytes, state: bytes) -> Record:
    """A record whole; raises Damage."""
    sealed = unseal_head(revision, data)
    if len(state) != sealed.state_bytes or crc32(state) != sealed.state_crc:
        raise Damage("the state's checksum differs")
    return Record(sealed.head, state)


def _pack_origin(origin: Origin) -> bytes:
    texts = [each.encode() for each in (*origin.key, origin.model, origin.state_id)]
    sizes = _ORIGIN.pack(origin.created_at, origin.ttl_s, *map(len, texts))
    return b"".join((sizes, *texts))


def _unpack_origin(data: bytes) -> Origin:
    created_at, ttl_s, *sizes = _ORIGIN.unpack_from(data)
    texts: list[str] = []
    offset = _ORIGIN.size
    for size in sizes:
        texts.append(data[offset : offset + size].decode())
        offset += size
    tenant, session_id, model, state_id = texts
    # Nearly all sessions have the same few: kept once.
    tenant, model, state_id = map(intern, (tenant, model, state_id))
    return Origin((tenant, session_id), model, state_id, created_at, ttl_s, packed=data)
