"""What the Redis store's reading thread does: all sessions that are asked for in one round trip."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from carousel.service.errors import CarouselError, StoreUnavailable
from carousel.service.sessions.record import Key
from carousel.service.sessions.stores.base import Damaged, Found
from carousel.service.sessions.stores.futures import tell
from carousel.service.sessions.stores.redis.keys import session_key
from carousel.service.sessions.stores.redis.link import RedisLink, WrongType
from carousel.service.sessions.stores.redis.value import unpack

log = logging.getLogger("carousel.store")

# Sessions that are read in one round trip: their states are in memory together.
_LOADS = 128


@dataclass(slots=True, eq=False)
class Load:
    """A session that is asked for."""

    key: Key
    future: "asyncio.Future[Found]"


@dataclass(slots=True, eq=False)
class Errand:
    """Whatever else is read: `run` with the reader's connection."""

    run: Callable[[RedisLink], object]
    future: "asyncio.Future[Any]"


class RedisReader:
    """Owns the connection that reads, and that the sweep writes on. `handle` is a lane's."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        # What became of the connection, if it failed in the list of jobs at hand.
        self._failure: StoreUnavailable | None = None

    def __repr__(self) -> str:
        return f"<RedisReader {self._link!r}>"

    def handle(self, jobs: list[Load | Errand]) -> None:
        """Sessions first, as requests wait for them; then each errand. Nothing is asked for who has
        given up. A failure of the connection may take seconds, so the first is told to all.
        """
        self._failure = None
        wanted = [job for job in jobs if not job.future.done()]
        loads = [job for job in wanted if isinstance(job, Load)]
        for first in range(0, len(loads), _LOADS):
            some = loads[first : first + _LOADS]
            found = self._try(partial(_load, jobs=some))
            results = found if isinstance(found, list) else [found] * len(some)
            tell([job.future for job in some], results)
        for job in wanted:
            if isinstance(job, Errand):
                tell([job.future], [self._try(job.run)])

    def _try(self, run: Callable[[RedisLink], object]) -> object:
        if self._failure is not None:
            return self._failure
        try:
            return run(self._link)
        except CarouselError as error:
            if self._link.broken and isinstance(error, StoreUnavailable):
                self._failure = error
            return error
        except Exception:
            log.exception("the session store failed to read")
            return StoreUnavailable("the session store failed")


def _load(link: RedisLink, jobs: Sequence[Load]) -> list[Found]:
    # One MGET would say of a key of another kind that nothing is there.
    values = link.read([(b"GET", session_key(job.key)) for job in jobs])
    found: list[Found] = []
    for job, value in zip(jobs, values, strict=True):
        if isinstance(value, WrongType):
            found.append(Damaged(b""))
        else:
            found.append(None if value is None else unpack(job.key, value))
    return found
