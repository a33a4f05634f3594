"""A session as the one value that Redis keeps of it.

16 bytes of revision, 4 of the sealed metadata's size, the sealed metadata, the state. A tombstone
is 16 zero bytes and the time of expiry: no session ever has a revision of zeros.
"""

from struct import Struct, error

from carousel.service.sessions.session_record import Key, SessionRecord
from carousel.service.sessions.stores.base import Damaged, Found, Tombstone
from carousel.service.sessions.stores.sealed import Damage, SealedMeta, seal, unseal, unseal_meta

REVISION_BYTES = 16

_SIZE = Struct("<I")
_META_AT = REVISION_BYTES + _SIZE.size
_TOMBSTONE = Struct("<16sd")
_BURIED = bytes(REVISION_BYTES)


def pack(record: SessionRecord) -> bytes:
    """The value of a session."""
    meta = seal(record)
    return b"".join((record.meta.revision, _SIZE.pack(len(meta)), meta, record.state))


def pack_tombstone(expired_at: float) -> bytes:
    """The value of a session that has expired."""
    return _TOMBSTONE.pack(_BURIED, expired_at)


def unpack(key: Key, value: bytes) -> Found:
    """What a value is; a session that says it is another's key is damaged as well."""
    revision = value[:REVISION_BYTES]
    if revision == _BURIED:
        return _unpack_tombstone(value)
    end = meta_end(value)
    try:
        record = unseal(revision, value[_META_AT:end], value[end:])
    except Damage:
        return Damaged(revision)
    return record if record.meta.key == key else Damaged(revision)


def meta_end(start: bytes) -> int:
    """How far the metadata reaches, by the start of a value; all of it where there is none."""
    if len(start) < _META_AT:
        return len(start)
    return int(_META_AT + _SIZE.unpack_from(start, REVISION_BYTES)[0])


def unpack_meta(key: Key, start: bytes) -> SealedMeta | Tombstone | Damaged:
    """The metadata of a value, of which `start` reaches to its end or beyond."""
    revision = start[:REVISION_BYTES]
    if revision == _BURIED:
        return _unpack_tombstone(start)
    try:
        sealed = unseal_meta(revision, start[_META_AT : meta_end(start)])
    except Damage:
        return Damaged(revision)
    return sealed if sealed.meta.key == key else Damaged(revision)


def _unpack_tombstone(value: bytes) -> Tombstone | Damaged:
    try:
        return Tombstone(_TOMBSTONE.unpack(value)[1])
    except error:
        return Damaged(_BURIED)
