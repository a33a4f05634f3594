"""A record as bytes under checksums, as stores outside this process keep it.

Sealed metadata stands on its own, and says how long its state is and what that sums to. Whatever
was cut, flipped or exchanged is found when it is read: crc32 over everything, the revision
included.
"""

from dataclasses import dataclass, replace
from struct import Struct, error
from sys import intern
from zlib import crc32

from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord

# Checksum of all that follows; checksum and bytes of the state; version, position, used_at; bytes
# of the identity and of the replies, which follow in this order; flags.
_META = Struct("<IIIIqdIIB")
_CHECKED = 4
_ENDED, _STARTED = 1, 2
# created_at, ttl_s; bytes of tenant, id, model, state_id, which follow in this order.
_IDENTITY = Struct("<ddHHHH")


class Damage(Exception):
    """Bytes that are not what was written."""


@dataclass(frozen=True, slots=True)
class SealedMeta:
    """Metadata that was read and is sound; the state it belongs to may still not be."""

    meta: SessionMeta
    state_bytes: int
    state_crc: int


def seal(record: SessionRecord) -> bytes:
    """The metadata, sealed; its revision and the state are stored beside it as they are."""
    return _seal(record.meta, crc32(record.state), len(record.state))


def _seal(meta: SessionMeta, state_crc: int, state_bytes: int) -> bytes:
    identity = meta.identity
    packed = identity.packed
    if not packed:
        packed = identity.packed = _pack_identity(identity)
    fixed = _META.pack(
        0,
        state_crc,
        state_bytes,
        meta.version,
        meta.position,
        meta.used_at,
        len(packed),
        len(meta.replies),
        meta.ended * _ENDED | meta.started * _STARTED,
    )
    body = b"".join((fixed[_CHECKED:], packed, meta.replies))
    return crc32(body, crc32(meta.revision)).to_bytes(_CHECKED, "little") + body


def unseal_meta(revision: bytes, data: bytes) -> SealedMeta:
    """The metadata; raises Damage."""
    view = memoryview(data)
    if len(data) < _META.size or crc32(view[_CHECKED:], crc32(revision)) != int.from_bytes(
        data[:_CHECKED], "little"
    ):
        raise Damage("the metadata's checksum differs")
    try:
        fixed = _META.unpack_from(data)
        _, crc, nbytes, version, position, used_at, identity_size, replies_size, flags = fixed
        start = _META.size + identity_size
        if len(data) != start + replies_size:
            raise Damage("the metadata has another length than it says")
        identity = _unpack_identity(data[_META.size : start])
    except (error, UnicodeDecodeError) as problem:
        raise Damage("the metadata cannot be read") from problem
    ended, started = bool(flags & _ENDED), bool(flags & _STARTED)
    meta = SessionMeta(identity, version, revision, position, used_at, data[start:], ended, started)
    return SealedMeta(meta, nbytes, crc)


def restamp(sealed: SealedMeta, used_at: float) -> bytes:
    """Metadata that says it was used at another time: sealed, and as long as it was."""
    return _seal(replace(sealed.meta, used_at=used_at), sealed.state_crc, sealed.state_bytes)


def unseal(revision: bytes, data: bytes, state: bytes) -> SessionRecord:
    """A record whole; raises Damage."""
    sealed = unseal_meta(revision, data)
    if len(state) != sealed.state_bytes or crc32(state) != sealed.state_crc:
        raise Damage("the state's checksum differs")
    return SessionRecord(sealed.meta, state)


def _pack_identity(identity: SessionIdentity) -> bytes:
    texts = [each.encode() for each in (*identity.key, identity.model, identity.state_id)]
    sizes = _IDENTITY.pack(identity.created_at, identity.ttl_s, *map(len, texts))
    return b"".join((sizes, *texts))


def _unpack_identity(data: bytes) -> SessionIdentity:
    created_at, ttl_s, *sizes = _IDENTITY.unpack_from(data)
    texts: list[str] = []
    offset = _IDENTITY.size
    for size in sizes:
        texts.append(data[offset : offset + size].decode())
        offset += size
    tenant, session_id, model, state_id = texts
    # Nearly all sessions have the same few: kept once.
    tenant, model, state_id = map(intern, (tenant, model, state_id))
    return SessionIdentity((tenant, session_id), model, state_id, created_at, ttl_s, packed=data)
