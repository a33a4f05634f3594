"""Expiry in Redis: who is due, who has expired, and who is forgotten.

A session's place in the set of those due is a time before which it does not expire, and no step
touches it; only when that time has come is the true one read from the metadata. Several servers may
sweep at once: the compare-and-set on the revision decides which of them buries a session.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.session_record import Key, SessionMeta
from carousel.service.sessions.stores.redis.keys import (
    BURIED_KEY,
    DUE_KEY,
    ids_key,
    parse_member,
    session_key,
)
from carousel.service.sessions.stores.redis.link import RedisLink
from carousel.service.sessions.stores.redis.meta_reader import FoundMeta, read_metas
from carousel.service.sessions.stores.redis.scripts import BURY, FORGET, Call
from carousel.service.sessions.stores.redis.value import pack_tombstone
from carousel.service.sessions.stores.sealed import SealedMeta

# Sessions that one script looks at: commits of steps wait for no longer than that.
_ROWS = 128
# When a session is due again whose metadata cannot be read; it stays until its owner deletes it.
_DAMAGED_S = 86400.0


@dataclass(frozen=True, slots=True)
class Swept:
    """Sessions that were buried, and whether more are due."""

    keys: list[Key]
    more: bool


def sweep(link: RedisLink, expired_before: float, end_of: Callable[[SessionMeta], float]) -> Swept:
    """Bury the expired of the next sessions that are due; the others are due later from now on."""
    until, limit = repr(expired_before).encode(), (b"LIMIT", 0, _ROWS)
    reply = link.ask(b"ZRANGEBYSCORE", DUE_KEY, b"-inf", until, b"WITHSCORES", *limit)
    names_and_dues = cast(list[bytes], reply)
    names, dues = names_and_dues[::2], names_and_dues[1::2]
    if not names:
        return Swept([], False)
    keys = [parse_member(name) for name in names]
    metas = read_metas(link, keys)
    letters = link.call([_burial(names, dues, keys, metas, expired_before, end_of)])[0]
    if isinstance(letters, StoreUnavailable):
        raise letters
    buried = [key for key, letter in zip(keys, letters, strict=True) if letter == ord("B")]
    return Swept(buried, len(names) == _ROWS)


def forget(link: RedisLink, buried_before: float) -> bool:
    """Drop the oldest tombstones, a few at a time; returns whether there are more."""
    until = repr(buried_before).encode()
    reply = link.ask(b"ZRANGEBYSCORE", BURIED_KEY, b"-inf", until, b"LIMIT", 0, _ROWS)
    names = cast(list[bytes], reply)
    if not names:
        return False
    keys = [BURIED_KEY, *(session_key(parse_member(name)) for name in names)]
    found = link.call([FORGET.call(keys, [until, *names], len(names))])[0]
    if isinstance(found, StoreUnavailable):
        raise found
    return len(names) == _ROWS


def _burial(
    names: Sequence[bytes],
    dues: Sequence[bytes],
    keys: Sequence[Key],
    metas: Sequence[FoundMeta],
    expired_before: float,
    end_of: Callable[[SessionMeta], float],
) -> Call:
    script_keys = [DUE_KEY, BURIED_KEY]
    arguments: list[bytes] = []
    for name, due, key, found in zip(names, dues, keys, metas, strict=True):
        base, expires_at = b"", expired_before + _DAMAGED_S
        next_due = expires_at
        tombstone = b""
        if isinstance(found, SealedMeta):
            expires_at = next_due = end_of(found.meta)
            if expires_at <= expired_before:
                base = found.meta.revision
                # What was ended did not expire: nothing is to tell of it.
                tombstone = b"" if found.meta.ended else pack_tombstone(expires_at)
                # Should somebody step it at this moment, the next sweep looks again.
                next_due = math.nextafter(expired_before, math.inf)
        times = [repr(each).encode() for each in (expires_at, next_due)]
        script_keys += (session_key(key), ids_key(key[0]))
        arguments += (base, tombstone, *times, due, name, key[1].encode())
    return BURY.call(script_keys, arguments, len(names))
