"""The Redis store while Redis is away, slow, full or changing: nothing is sent twice, an unknown
outcome is said, and service goes on by itself.
"""

import asyncio
import time
from collections.abc import Callable

import pytest

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.session_record import SessionRecord
from carousel.service.sessions.stores.base import Outcome, Write
from carousel.service.sessions.stores.redis.store import RedisStore
from tests.harness.fakes import PATIENCE_S
from tests.harness.redis_rows import Commits, commit, scripts_run, session, step
from tests.harness.redis_server import RedisServer
from tests.harness.rig import play

WRITTEN, GONE = Outcome.WRITTEN, Outcome.GONE
# How long a store waits for an answer where it is not to come.
IMPATIENT_S = 0.3


async def _open(store: RedisStore, *names: str) -> list[SessionRecord]:
    records = [session(name) for name in names]
    assert await store.write([Write(None, each) for each in records]) == [WRITTEN] * len(names)
    return records


def _until(condition: Callable[[], object]) -> None:
    """Ask Redis until something holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never came to hold"


def test_what_was_answered_survives_a_kill(server: RedisServer) -> None:
    """SIGKILL: calls say that the store is away; on the same data, the last step is there."""

    async def scenario() -> None:
        with server.client() as client:
            client.config_set("appendfsync", "always")
        store = RedisStore(server.url)
        (record,) = await _open(store, "a")
        last = step(record)
        assert await commit(store, last) == [WRITTEN]
        server.kill()
        unanswered = step(last.record)
        assert isinstance(await commit(store, unanswered), StoreUnavailable)
        for call in (
            store.load(record.meta.key),
            store.delete(record.meta.key, last.record.meta.revision),
            store.write([Write(None, session("b"))]),
            store.page("t", None, None, 9, 1000.0),
            store.expire(0.0, 0.0),
            store.ping(),
        ):
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await call
        server.start()
        await store.ping()
        assert await store.load(record.meta.key) == last.record
        assert await commit(store, step(last.record)) == [WRITTEN]
        assert store.stats.failures == 3
        await store.close()

    play(scenario)


def test_an_answer_that_does_not_come_is_unknown(server: RedisServer) -> None:
    """Redis stands still: every row is told so, and what had been sent is done once, later."""

    async def scenario() -> None:
        store = RedisStore(server.url, answer_s=IMPATIENT_S)
        with server.client() as client:
            record, other = await _open(store, "a", "b")
            last = step(record)
            assert await commit(store, step(other)) == [WRITTEN]
            ran = scripts_run(client)
            commits = Commits(store)
            server.pause()
            try:
                sent = commits.begin(last)
                assert isinstance(await commits.outcomes(sent), StoreUnavailable)
                with pytest.raises(StoreUnavailable):
                    await store.load(record.meta.key)
            finally:
                server.resume()
            _until(lambda: scripts_run(client) > ran)
            assert await store.load(record.meta.key) == last.record
            assert await commit(store, step(last.record)) == [WRITTEN]
            assert scripts_run(client) == ran + 2
        await store.close()

    play(scenario)


def test_a_command_whose_connection_breaks_is_not_sent_again(server: RedisServer) -> None:
    """Redis has the command and has not run it when the connection goes: it never runs."""

    async def scenario() -> None:
        store = RedisStore(server.url)
        with server.client() as client:
            (record,) = await _open(store, "a")
            first = step(record)
            assert await commit(store, first) == [WRITTEN]
            ran = scripts_run(client)
            client.client_pause(60_000, all=False)
            commits = Commits(store)
            sent = commits.begin(step(first.record))
            _until(lambda: client.info("clients")["blocked_clients"] == 1)
            client.client_kill_filter(_type="normal", skipme=True)
            assert isinstance(await commits.outcomes(sent), StoreUnavailable)
            client.client_unpause()
            assert await store.load(record.meta.key) == first.record
            assert scripts_run(client) == ran
            assert await commit(store, step(first.record)) == [WRITTEN]
            assert scripts_run(client) == ran + 1
        await store.close()

    play(scenario)


def test_a_connection_that_was_closed_while_idle_costs_nothing(server: RedisServer) -> None:
    """As by Redis' own `timeout`, or by what stands between: noticed before anything is sent."""

    async def scenario() -> None:
        store = RedisStore(server.url)
        with server.client() as client:
            (record,) = await _open(store, "a")
            for _ in range(3):
                client.client_kill_filter(_type="normal", skipme=True)
                write = step(record)
                assert await commit(store, write) == [WRITTEN]
                client.client_kill_filter(_type="normal", skipme=True)
                assert await store.load(record.meta.key) == write.record
                record = write.record
        assert store.stats.failures == 0
        await store.close()

    play(scenario)


def test_a_full_redis_is_said_to_be_full(server: RedisServer) -> None:
    """Steps and openings say so, nothing of them is done; reading, deleting and sweeping go on."""

    async def scenario() -> None:
        store = RedisStore(server.url)
        with server.client() as client:
            first, second = await _open(store, "a", "b")
            third = session("c", ttl_s=50.0)
            await store.write([Write(None, third)])
            used = step(third, used_at=1030.0)
            assert await commit(store, used) == [WRITTEN]
            client.config_set("maxmemory", 1)
            for failed in (
                await commit(store, step(first), step(second)),
                *await asyncio.gather(
                    store.write([Write(None, session("d"))]), store.ping(), return_exceptions=True
                ),
            ):
                assert isinstance(failed, StoreUnavailable)
                assert failed.detail == "Redis is full"
            assert await store.load(first.meta.key) == first
            assert await store.load(("t", "d")) is None
            assert await store.delete(first.meta.key, first.meta.revision) is WRITTEN
            assert await store.expire(1050.0, 0.0) == []
            assert client.zscore("carousel:due", "t/c") == 1080.0
            assert await store.expire(1060.0, 0.0) == [second.meta.key]
            client.config_set("maxmemory", 0)
            await store.ping()
            assert await commit(store, step(used.record)) == [WRITTEN]
        await store.close()

    play(scenario)


def test_a_primary_that_became_a_replica_is_left(server: RedisServer) -> None:
    """It refuses writes, and says so; once it takes them again, so does the store."""

    async def scenario() -> None:
        store = RedisStore(server.url)
        with server.client() as client:
            (record,) = await _open(store, "a")
            client.replicaof("127.0.0.1", 1)
            failed = await commit(store, step(record))
            assert isinstance(failed, StoreUnavailable)
            assert failed.detail == "the session store refuses to do it now"
            with pytest.raises(StoreUnavailable):
                await store.ping()
            client.replicaof("NO", "ONE")
            await store.ping()
            assert await commit(store, step(record)) == [WRITTEN]
        await store.close()

    play(scenario)


def test_a_redis_that_lost_its_data_says_gone(server: RedisServer) -> None:
    """Also then the outcome is true, and the id is free."""

    async def scenario() -> None:
        store = RedisStore(server.url)
        with server.client() as client:
            (record,) = await _open(store, "a")
            client.flushall()
            assert await commit(store, step(record)) == [GONE]
            assert await store.load(record.meta.key) is None
            await _open(store, "a")
        await store.close()

    play(scenario)


def test_another_format_stops_the_store_while_it_runs(server: RedisServer) -> None:
    """A newer version has taken the database over: after the next connect nothing is touched."""

    async def scenario() -> None:
        store = RedisStore(server.url)
        with server.client() as client:
            (record,) = await _open(store, "a")
            client.set("carousel:format", 2)
            client.client_kill_filter(_type="normal", skipme=True)
            assert isinstance(await commit(store, step(record)), StoreUnavailable)
            with pytest.raises(StoreUnavailable, match="refuses"):
                await store.load(record.meta.key)
        await store.close()

    play(scenario)


def test_closing_tells_everybody_whatever_redis_does(server: RedisServer) -> None:
    """Redis stands still: what was begun is told, and the store lets go."""

    async def scenario() -> None:
        store = RedisStore(server.url, answer_s=IMPATIENT_S)
        (record,) = await _open(store, "a")
        commits = Commits(store)
        server.pause()
        try:
            begun = [commits.begin(step(record)) for _ in range(3)]
            loading = asyncio.ensure_future(store.load(record.meta.key))
            await asyncio.sleep(0)
            await store.close()
            for each in begun:
                assert isinstance(await commits.outcomes(each), StoreUnavailable)
            with pytest.raises(StoreUnavailable):
                await loading
        finally:
            server.resume()

    play(scenario)
