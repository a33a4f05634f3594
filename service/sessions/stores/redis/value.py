"""A session as the one value that Redis keeps of it.

16 bytes of revision, 4 of the sealed head's size, the sealed head, the state. A tombstone is 16
zero bytes and the time of expiry: no session ever has a revision of zeros.
"""

from struct import Struct, error

from carousel.service.sessions.record import Key, Record
from carousel.service.sessions.stores.base import Damaged, Found, Tombstone
from carousel.service.sessions.stores.sealed import Damage, SealedHead, seal, unseal, unseal_head

REVISION_BYTES = 16

_SIZE = Struct("<I")
_HEAD_AT = REVISION_BYTES + _SIZE.size
_TOMBSTONE = Struct("<16sd")
_BURIED = bytes(REVISION_BYTES)


def pack(record: Record) -> bytes:
    """The value of a session."""
    head = seal(record)
    return b"".join((record.head.revision, _SIZE.pack(len(head)), head, record.state))


def pack_tombstone(expired_at: float) -> bytes:
    """The value of a session that has expired."""
    return _TOMBSTONE.pack(_BURIED, expired_at)


def unpack(key: Key, value: bytes) -> Found:
    """What a value is; a session that says it is another's key is damaged as well."""
    revision = value[:REVISION_BYTES]
    if revision == _BURIED:
        return _unpack_tombstone(value)
    end = head_end(value)
    try:
        record = unseal(revision, value[_HEAD_AT:end], value[end:])
    except Damage:
        return Damaged(revision)
    return record if record.head.key == key else Damaged(revision)


def head_end(start: bytes) -> int:
    """How far the head reaches, by the start of a value; all of it where there is none."""
    if len(start) < _HEAD_AT:
        return len(start)
    return int(_HEAD_AT + _SIZE.unpack_from(start, REVISION_BYTES)[0])


def unpack_head(key: Key, start: bytes) -> SealedHead | Tombstone | Damaged:
    """The head of a value, of which `start` reaches to the head's end or beyond."""
    revision = start[:REVISION_BYTES]
    if revision == _BURIED:
        return _unpack_tombstone(start)
    try:
        sealed = unseal_head(revision, start[_HEAD_AT : head_end(start)])
    except Damage:
        return Damaged(revision)
    return sealed if sealed.head.key == key else Damaged(revision)


def _unpack_tombstone(value: bytes) -> Tombstone | Damaged:
    try:
        return Tombstone(_TOMBSTONE.unpack(value)[1])
    except error:
        return Damaged(_BURIED)
