"""Reads the metadata of sessions without their states, which may be long."""

from collections.abc import Sequence

from carousel.service.sessions.session_record import Key
from carousel.service.sessions.stores.base import Damaged, Tombstone
from carousel.service.sessions.stores.redis.keys import session_key
from carousel.service.sessions.stores.redis.link import Command, RedisLink, WrongType
from carousel.service.sessions.stores.redis.value import meta_end, unpack_meta
from carousel.service.sessions.stores.sealed import SealedMeta

FoundMeta = SealedMeta | Tombstone | Damaged | None

# Metadata with no recorded outputs or a few small ones fits; what is longer is asked for again.
_FIRST_BYTES = 1024


def read_metas(link: RedisLink, keys: Sequence[Key]) -> list[FoundMeta]:
    """What is at each key; raises StoreUnavailable."""
    found: list[FoundMeta] = [None] * len(keys)
    wanted = dict.fromkeys(range(len(keys)), _FIRST_BYTES)
    while wanted:
        starts = link.read([_read(keys[i], size) for i, size in wanted.items()])
        longer: dict[int, int] = {}
        for (i, size), start in zip(wanted.items(), starts, strict=True):
            if isinstance(start, WrongType):
                found[i] = Damaged(b"")
            elif start and len(start) == size < meta_end(start):
                # What is shorter than was asked for is all there is.
                longer[i] = meta_end(start)
            elif start:
                found[i] = unpack_meta(keys[i], start)
        wanted = longer
    return found


def _read(key: Key, size: int) -> Command:
    return (b"GETRANGE", session_key(key), 0, size - 1)
