"""A Redis that takes what it is sent and says nothing: one silence is the answer to all who wait
for it, nothing is asked for nobody, and the end does not stand behind it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis import Redis

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.stores.base import Found, Write
from carousel.service.sessions.stores.read_job import ReadJob
from carousel.service.sessions.stores.redis.link import RedisLink
from carousel.service.sessions.stores.redis.reader import LoadJob, RedisReader
from carousel.service.sessions.stores.redis.store import RedisStore
from tests.harness.redis_rows import Commits, session, step
from tests.harness.redis_server import RedisServer
from tests.harness.rig import play, until

# How long a link waits for an answer that is not to come.
IMPATIENT_S = 0.2


class JobMaker:
    """Makes a reader's jobs, and counts the commands that were run."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.run: list[str] = []
        self.futures: list[asyncio.Future[Any]] = []

    def load(self, name: str) -> LoadJob:
        """A session that is asked for."""
        future: asyncio.Future[Found] = self.loop.create_future()
        self.futures.append(future)
        return LoadJob(("t", name), future)

    def read(self, command: bytes) -> ReadJob[RedisLink]:
        """A command without arguments."""

        def run(link: RedisLink) -> object:
            self.run.append(command.decode())
            return link.ask(command)

        future: asyncio.Future[Any] = self.loop.create_future()
        self.futures.append(future)
        return ReadJob(run, future)

    async def told(self) -> list[object]:
        """What everybody was told."""
        return list(await asyncio.gather(*self.futures, return_exceptions=True))


def _play(
    server: RedisServer, scenario: Callable[[RedisReader, JobMaker], Awaitable[None]]
) -> None:
    async def run() -> None:
        link = RedisLink(server.url, None, answer_s=IMPATIENT_S)
        try:
            await scenario(RedisReader(link), JobMaker())
        finally:
            link.close()

    play(run)


def test_one_silence_is_the_answer_to_a_whole_batch(server: RedisServer) -> None:
    """What stands behind the first that is not answered is told at once, and not tried."""

    async def scenario(reader: RedisReader, maker: JobMaker) -> None:
        server.pause()
        reads = [maker.read(b"PING") for _ in range(3)]
        await asyncio.to_thread(reader.handle, [*reads])
        assert maker.run == ["PING"]
        await asyncio.to_thread(reader.handle, [maker.read(b"PING"), maker.load("a")])
        assert maker.run == ["PING"]
        assert [type(each) for each in await maker.told()] == [StoreUnavailable] * 5
        server.resume()
        again = maker.read(b"PING")
        await asyncio.to_thread(reader.handle, [again])
        assert await again.future == b"PONG"

    _play(server, scenario)


def test_many_loads_wait_for_one_silence(server: RedisServer) -> None:
    """More sessions than one round trip asks for: the rest are not asked for."""

    async def scenario(reader: RedisReader, maker: JobMaker) -> None:
        server.pause()
        loads = [maker.load(f"{n}") for n in range(1000)]
        began = maker.loop.time()
        await asyncio.to_thread(reader.handle, [*loads])
        assert maker.loop.time() - began < 4 * IMPATIENT_S
        assert [type(each) for each in await maker.told()] == [StoreUnavailable] * 1000

    _play(server, scenario)


def test_a_refusal_is_the_answer_to_one_alone(server: RedisServer) -> None:
    """Redis answers, though it will not do the one thing: the others are done."""

    async def scenario(reader: RedisReader, maker: JobMaker) -> None:
        jobs: list[LoadJob | ReadJob[RedisLink]] = [maker.load("a")]
        jobs += [maker.read(b"NONSENSE"), maker.read(b"PING")]
        await asyncio.to_thread(reader.handle, jobs)
        found, refused, done = await maker.told()
        assert (found, done) == (None, b"PONG")
        assert isinstance(refused, StoreUnavailable)

    _play(server, scenario)


def test_nothing_is_asked_for_nobody(server: RedisServer) -> None:
    """Whoever asked has given up before the reader comes to it."""

    async def scenario(reader: RedisReader, maker: JobMaker) -> None:
        gone, unread, wanted = maker.read(b"TIME"), maker.load("a"), maker.read(b"PING")
        for future in (gone.future, unread.future):
            future.cancel()
        await asyncio.to_thread(reader.handle, [gone, unread, wanted])
        assert maker.run == ["PING"]
        assert await wanted.future == b"PONG"

    _play(server, scenario)


def test_a_link_that_is_retired_waits_for_one_silence_at_most(server: RedisServer) -> None:
    """After it nothing more is sent; until then, and over a closed connection, it does its work."""
    with server.client() as client:
        link = RedisLink(server.url, None, answer_s=IMPATIENT_S)
        assert link.ask(b"PING") == b"PONG"
        link.retire()
        client.client_kill_filter(_type="normal", skipme=True)
        assert link.ask(b"PING") == b"PONG"
        server.pause()
        with pytest.raises(StoreUnavailable):
            link.ask(b"PING")
        server.resume()
        with pytest.raises(StoreUnavailable):
            link.ask(b"PING")
        link.close()


def test_the_end_of_a_store_waits_for_one_silence(server: RedisServer) -> None:
    """What stands behind it is told, and no other connection is tried for it."""

    async def scenario(client: Redis) -> None:
        store = RedisStore(server.url, answer_s=1.0)
        record = session("a")
        await store.write([Write(None, record)])
        client.client_pause(60_000, all=False)
        commits = Commits(store)
        first = commits.begin(step(record))
        await until(lambda: client.info("clients")["blocked_clients"] == 1)
        second = commits.begin(step(record))
        connected = client.info("stats")["total_connections_received"]
        await store.close()
        for each in (first, second):
            assert isinstance(await commits.outcomes(each), StoreUnavailable)
        assert client.info("stats")["total_connections_received"] == connected
        client.client_unpause()

    with server.client() as client:
        play(lambda: scenario(client))
