"""What is left of a sequence that was ended: in every store it goes when its own time has come,
however long its sessions live, and leaves nothing.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from carousel.service.sessions.committer import new_revision
from carousel.service.sessions.session_record import ENDED_S, SessionRecord
from carousel.service.sessions.stores.base import Outcome, Store, Tombstone, Write
from carousel.service.sessions.stores.memory import MemoryStore
from carousel.service.sessions.stores.redis.store import RedisStore
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.redis_rows import commit, session, step
from tests.harness.redis_server import RedisServer
from tests.harness.rig import play

WRITTEN, LOST = Outcome.WRITTEN, Outcome.LOST

ENDED_AT = 1000.0
# When what is left of them may go, and a session may not for long.
GONE_AT = ENDED_AT + ENDED_S
TTL_S = 50_000.0

Make = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes the store under test; to be called on the event loop."""
    if request.param == "memory":
        return lambda: MemoryStore(1 << 20)
    if request.param == "sqlite":
        return lambda: SqliteStore(tmp_path / "sessions.sqlite")
    server: RedisServer = request.getfixturevalue("redis")
    with server.client() as client:
        client.flushall()
    return lambda: RedisStore(server.url)


def _session(name: str) -> SessionRecord:
    return session(name, used_at=ENDED_AT, ttl_s=TTL_S)


def _end(record: SessionRecord) -> Write:
    """The step that ends a sequence."""
    write = step(record, used_at=ENDED_AT)
    return Write(write.base, replace(write.record, meta=replace(write.record.meta, ended=True)))


def test_an_ended_sequence_goes_in_its_own_time(make: Make) -> None:
    """Not before, so that its last step can be answered again; then without a trace, though its
    sessions live for longer.
    """

    async def scenario() -> None:
        store = make()
        record, other = _session("a"), _session("b")
        await store.write([Write(None, each) for each in (record, other)])
        end = _end(record)
        assert await commit(store, end) == [WRITTEN]
        assert await store.expire(GONE_AT - 1, 0.0) == []
        assert await store.load(record.meta.key) == end.record
        assert await store.expire(GONE_AT, 0.0) == []
        assert await store.load(record.meta.key) is None
        assert await store.load(other.meta.key) == other
        assert await store.page("t", None, None, 9, ENDED_AT) == [(other.meta, 16)]
        await store.close()

    play(scenario)


def test_a_sequence_of_one_step_goes_as_well(make: Make) -> None:
    """Begun and ended in one write, with nothing before it."""

    async def scenario() -> None:
        store = make()
        end = Write(None, _end(_session("a")).record)
        assert await store.write([end]) == [WRITTEN]
        assert await store.expire(GONE_AT, 0.0) == []
        assert await store.load(end.record.meta.key) is None
        assert await store.write([Write(None, _session("a"))]) == [WRITTEN]
        await store.close()

    play(scenario)


def test_a_sequence_of_before_a_restart_goes_as_well(make: Make) -> None:
    """Its session was loaded, and no longer comes from the hand that opened it."""

    async def scenario() -> None:
        store = make()
        record = _session("a")
        await store.write([Write(None, record)])
        found = await store.load(record.meta.key)
        assert isinstance(found, SessionRecord)
        assert await commit(store, _end(found)) == [WRITTEN]
        assert await store.expire(GONE_AT, 0.0) == []
        assert await store.load(record.meta.key) is None
        await store.close()

    play(scenario)


def test_ends_and_steps_share_a_commit(make: Make) -> None:
    """Each row has its own outcome, in its place; only the ended ones go."""

    async def scenario() -> None:
        store = make()
        records = [_session(f"{n}") for n in range(6)]
        await store.write([Write(None, each) for each in records])
        writes = [_end(each) if n % 2 else step(each) for n, each in enumerate(records)]
        writes[3] = Write(new_revision(), writes[3].record)
        outcomes = [WRITTEN, WRITTEN, WRITTEN, LOST, WRITTEN, WRITTEN]
        assert await commit(store, *writes) == outcomes
        assert await store.expire(GONE_AT, 0.0) == []
        left = await asyncio.gather(*(store.load(each.meta.key) for each in records))
        wanted = [writes[0].record, None, writes[2].record, records[3], writes[4].record, None]
        assert left == wanted
        await store.close()

    play(scenario)


def test_a_sequence_begun_anew_lives(make: Make) -> None:
    """Over what was left of the one before it: it is due no sooner, and expires as sessions do."""

    async def scenario() -> None:
        store = make()
        record = _session("a")
        await store.write([Write(None, record)])
        end = _end(record)
        await commit(store, end)
        again = Write(end.record.meta.revision, _session("a"))
        assert await store.write([again]) == [WRITTEN]
        assert await store.expire(GONE_AT, 0.0) == []
        assert await store.load(record.meta.key) == again.record
        assert await store.expire(ENDED_AT + TTL_S, 0.0) == [record.meta.key]
        assert await store.load(record.meta.key) == Tombstone(ENDED_AT + TTL_S)
        await store.close()

    play(scenario)


def test_a_thousand_sequences_leave_nothing_in_redis(redis: RedisServer) -> None:
    """Of what was kept of them: no value, no place in a list, no tombstone."""

    async def scenario() -> None:
        with redis.client() as client:
            client.flushall()
            store = RedisStore(redis.url)
            records = [_session(f"{n}") for n in range(1000)]
            await store.write([Write(None, each) for each in records])
            assert await commit(store, *map(_end, records)) == [WRITTEN] * 1000
            assert await store.expire(GONE_AT, 0.0) == []
            assert set(client.keys()) == {b"carousel:format"}
            await store.close()

    play(scenario)
