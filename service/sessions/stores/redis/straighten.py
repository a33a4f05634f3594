"""Stamps in Redis that lie ahead, since a clock was ahead that has been set back since."""

from collections.abc import Callable
from typing import cast

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.session_record import SessionMeta
from carousel.service.sessions.stores.redis.keys import (
    BURIED_KEY,
    DUE_KEY,
    parse_member,
    session_key,
)
from carousel.service.sessions.stores.redis.link import RedisLink
from carousel.service.sessions.stores.redis.meta_reader import read_metas
from carousel.service.sessions.stores.redis.scripts import FORGET_LATER, STAMP, Call
from carousel.service.sessions.stores.sealed import SealedMeta, restamp

# As many as one script looks at in a sweep.
_ROWS = 128


def straighten(
    link: RedisLink, now: float, latest: float, end_of: Callable[[SessionMeta], float]
) -> bool:
    """Stamp the next sessions as used now that would end after `latest`; whether there are more."""
    since = f"({latest!r}".encode()
    limit = (b"LIMIT", 0, _ROWS)
    reply = link.ask(b"ZRANGEBYSCORE", DUE_KEY, since, b"+inf", b"WITHSCORES", *limit)
    names_and_dues = cast(list[bytes], reply)
    names, dues = names_and_dues[::2], names_and_dues[1::2]
    if not names:
        return False
    keys = [parse_member(name) for name in names]
    arguments: list[bytes] = []
    for name, due, found in zip(names, dues, read_metas(link, keys), strict=True):
        base, sealed, next_due = b"", b"", latest
        if isinstance(found, SealedMeta) and found.meta.used_at > now:
            base, next_due = found.meta.revision, now + found.meta.lives_s
            sealed = restamp(found, now)
        elif isinstance(found, SealedMeta):
            # It was stamped anew since it was opened, or sessions might live longer then.
            next_due = min(latest, end_of(found.meta))
        arguments += (base, sealed, repr(next_due).encode(), due, name)
    call = STAMP.call([DUE_KEY, *map(session_key, keys)], arguments, len(names))
    _run(link, call)
    return len(names) == _ROWS


def straighten_tombstones(link: RedisLink, now: float) -> bool:
    """Let the next tombstones that lie ahead be of now; whether there are more."""
    since = f"({now!r}".encode()
    reply = link.ask(b"ZRANGEBYSCORE", BURIED_KEY, since, b"+inf", b"LIMIT", 0, _ROWS)
    names = cast(list[bytes], reply)
    if not names:
        return False
    _run(link, FORGET_LATER.call([BURIED_KEY], [repr(now).encode(), *names], 0))
    return len(names) == _ROWS


def _run(link: RedisLink, call: Call) -> None:
    found = link.call([call])[0]
    if isinstance(found, StoreUnavailable):
        raise found
