"""Reads the heads of sessions without their states, which may be long."""

from collections.abc import Sequence

from carousel.service.sessions.record import Key
from carousel.service.sessions.stores.base import Damaged, Tombstone
from carousel.service.sessions.stores.redis.keys import session_key
from carousel.service.sessions.stores.redis.link import Command, RedisLink, WrongType
from carousel.service.sessions.stores.redis.value import head_end, unpack_head
from carousel.service.sessions.stores.sealed import SealedHead

FoundHead = SealedHead | Tombstone | Damaged | None

# A head without recorded outputs and a few small ones fit; longer ones are asked for again.
_FIRST_BYTES = 1024


def read_heads(link: RedisLink, keys: Sequence[Key]) -> list[FoundHead]:
    """What is at each key; raises StoreUnavailable."""
    found: list[FoundHead] = [None] * len(keys)
    wanted = dict.fromkeys(range(len(keys)), _FIRST_BYTES)
    while wanted:
        starts = link.read([_read(keys[i], size) for i, size in wanted.items()])
        longer: dict[int, int] = {}
        for (i, size), start in zip(wanted.items(), starts, strict=True):
            if isinstance(start, WrongType):
                found[i] = Damaged(b"")
            elif start and len(start) == size < head_end(start):
                # What is shorter than was asked for is all there is.
                longer[i] = head_end(start)
            elif start:
                found[i] = unpack_head(keys[i], start)
        wanted = longer
    return found


def _read(key: Key, size: int) -> Command:
    return (b"GETRANGE", session_key(key), 0, size - 1)
