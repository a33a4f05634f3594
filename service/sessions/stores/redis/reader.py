"""What the Redis store's reading thread does: all sessions that are asked for in one round trip."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from carousel.service.errors import CarouselError, StoreUnavailable
from carousel.service.sessions.session_record import Key
from carousel.service.sessions.stores.base import Damaged, Found
from carousel.service.sessions.stores.futures import tell
from carousel.service.sessions.stores.read_job import ReadJob
from carousel.service.sessions.stores.redis.keys import session_key
from carousel.service.sessions.stores.redis.link import RedisLink, WrongType
from carousel.service.sessions.stores.redis.value import unpack

log = logging.getLogger("carousel.store")

# Sessions that are read in one round trip: their states are in memory together.
_LOADS = 128


@dataclass(slots=True, eq=False)
class LoadJob:
    """A session to be read, in one round trip with others. Whatever else is read is a ReadJob."""

    key: Key
    future: "asyncio.Future[Found]"


class RedisReader:
    """Owns the connection that reads, and that the sweep writes on. `handle` is a BatchWorker's."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        # What became of the connection, if it failed in the list of jobs at hand.
        self._failure: StoreUnavailable | None = None

    def __repr__(self) -> str:
        return f"<RedisReader {self._link!r}>"

    def handle(self, jobs: list[LoadJob | ReadJob[RedisLink]]) -> None:
        """Sessions first, as requests wait for them; then each other job. Nothing is asked for who
        has given up. A failure of the connection may take seconds, so the first is told to all.
        """
        self._failure = None
        wanted = [job for job in jobs if not job.future.done()]
        loads = [job for job in wanted if isinstance(job, LoadJob)]
        for first in range(0, len(loads), _LOADS):
            some = loads[first : first + _LOADS]
            found = self._try(partial(_load, jobs=some))
            results = found if isinstance(found, list) else [found] * len(some)
            tell([job.future for job in some], results)
        for job in wanted:
            if isinstance(job, ReadJob):
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


def _load(link: RedisLink, jobs: Sequence[LoadJob]) -> list[Found]:
    # One MGET would say of a key of another kind that nothing is there.
    values = link.read([(b"GET", session_key(job.key)) for job in jobs])
    found: list[Found] = []
    for job, value in zip(jobs, values, strict=True):
        if isinstance(value, WrongType):
            found.append(Damaged(b""))
        else:
            found.append(None if value is None else unpack(job.key, value))
    return found
