"""Sessions in Redis or Valkey, which several servers share.

One thread writes: all that comes in while an answer is under way goes into the next round trip. A
second one reads. Each has its own connection; after a failure the next job makes another.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from carousel.service.sessions.clock import Clock
from carousel.service.sessions.session_record import Key, SessionMeta
from carousel.service.sessions.stores.base import Done, Found, Outcome, StoreStats, Write
from carousel.service.sessions.stores.batch_worker import BatchWorker
from carousel.service.sessions.stores.futures import tell
from carousel.service.sessions.stores.read_job import ReadJob
from carousel.service.sessions.stores.redis.keys import FORMAT, FORMAT_KEY
from carousel.service.sessions.stores.redis.link import ANSWER_S, RedisLink
from carousel.service.sessions.stores.redis.reader import LoadJob, RedisReader
from carousel.service.sessions.stores.redis.scripts import Call
from carousel.service.sessions.stores.redis.session_lister import MOST, SessionLister
from carousel.service.sessions.stores.redis.startup import check_server, make_links
from carousel.service.sessions.stores.redis.straighten import straighten, straighten_tombstones
from carousel.service.sessions.stores.redis.sweep import forget, sweep
from carousel.service.sessions.stores.redis.time import meet, read_time
from carousel.service.sessions.stores.redis.writer import (
    RedisWriter,
    ScriptJob,
    StepsJob,
    opening,
    removal,
)

T = TypeVar("T")


class RedisStore:
    """One server, not a cluster; its settings are looked at once, here.

    Raises SettingError where it cannot be used, or where its settings may lose sessions and not
    `unsafe`. `password` goes before one in `url`. `answer_s`: how long an answer may take.
    """

    name = "redis"
    shared = True

    def __init__(
        self,
        url: str,
        *,
        password: str | None = None,
        unsafe: bool = False,
        answer_s: float = ANSWER_S,
    ) -> None:
        self.stats = StoreStats()
        self._links = make_links(url, password, 2, answer_s=answer_s)
        reads, writes = self._links
        try:
            check_server(reads, unsafe=unsafe)
            self.clock = Clock(meet(reads))
        except BaseException:
            reads.close()
            raise
        self._lister = SessionLister()
        self._writing: BatchWorker[StepsJob | ScriptJob] = BatchWorker(
            "store writer", RedisWriter(writes, self.stats).handle
        )
        self._reading: BatchWorker[LoadJob | ReadJob[RedisLink]] = BatchWorker(
            "store reader", RedisReader(reads).handle
        )

    def __repr__(self) -> str:
        return f"<RedisStore {self._links[0].url} commits={self.stats.commits}>"

    def commit(self, writes: Sequence[Write], done: Done) -> None:
        """Write the rows of a batch in the next round trip."""
        self._writing.put(StepsJob(writes, done))

    async def write(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        return await self._change(partial(opening, writes, atomic=atomic), len(writes))

    def load(self, key: Key) -> "asyncio.Future[Found]":
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._reading.put(LoadJob(key, future))
        return future

    async def delete(self, key: Key, base: bytes) -> Outcome:
        return (await self._change(partial(removal, key, base), 1))[0]

    async def page(
        self, tenant: str, model: str | None, after: str | None, limit: int, now: float
    ) -> list[tuple[SessionMeta, int]]:
        """Live sessions in order of id; damaged ones are left out and logged."""
        found: list[tuple[SessionMeta, int]] = []
        at = after
        while len(found) < limit:
            # Of how many sessions one is of the model, nobody knows.
            wanted = limit - len(found) if model is None else MOST
            metas, at = await self._ask(
                partial(self._lister.read, tenant=tenant, after=at, limit=wanted)
            )
            found += [
                (sealed.meta, sealed.state_bytes)
                for sealed in metas
                if self.clock.end_of(sealed.meta) > now and model in (None, sealed.meta.model)
            ]
            if at is None:
                break
        return found[:limit]

    async def expire(self, expired_before: float, buried_before: float) -> list[Key]:
        """Bury the expired a few at a time, so that commits go on between."""
        buried: list[Key] = []
        end_of = self.clock.end_of
        more = True
        while more:
            swept = await self._ask(partial(sweep, expired_before=expired_before, end_of=end_of))
            buried += swept.keys
            more = swept.more
        while await self._ask(partial(forget, buried_before=buried_before)):
            pass
        return buried

    async def straighten(self, now: float, latest: float) -> None:
        """A few at a time; mostly there is none."""
        run = partial(straighten, now=now, latest=latest, end_of=self.clock.end_of)
        while await self._ask(run):
            pass
        while await self._ask(partial(straighten_tombstones, now=now)):
            pass

    async def ping(self) -> None:
        """Raises StoreUnavailable if Redis is away or takes no writes."""
        self.clock.observe(await self._ask(read_time))
        # It writes nothing where the format stands already, and is refused wherever a step would.
        await self._ask(lambda link: link.ask(b"SETNX", FORMAT_KEY, FORMAT))

    async def close(self) -> None:
        """Send what was put and close both connections; a Redis that is away is waited for once."""
        for link in self._links:
            link.retire()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.close()
        self._writing.close()
        for link in self._links:
            link.close()

    async def _change(self, make: Callable[[], Call], rows: int) -> list[Outcome]:
        future: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self._writing.put(ScriptJob(make, rows, lambda outcomes: tell([future], [outcomes])))
        return await future

    async def _ask(self, run: Callable[[RedisLink], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._reading.put(ReadJob(run, future))
        return await future
