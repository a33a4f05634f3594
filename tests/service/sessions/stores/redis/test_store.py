"""What the Redis store promises beyond every store: sharing, damage and size."""

import asyncio
import logging

import pytest
from redis import Redis

from carousel.service.sessions.session_record import SessionRecord
from carousel.service.sessions.stores.base import Damaged, Outcome, Write
from carousel.service.sessions.stores.redis.store import RedisStore
from tests.harness.redis_rows import Commits, commit, scripts_run, session, step
from tests.harness.redis_server import RedisServer
from tests.harness.rig import play

WRITTEN, LOST, GONE = Outcome.WRITTEN, Outcome.LOST, Outcome.GONE


async def _written(store: RedisStore, *records: SessionRecord) -> None:
    """Open sessions."""
    outcomes = await store.write([Write(None, each) for each in records])
    assert outcomes == [WRITTEN] * len(records)


def test_of_two_servers_one_wins(redis: RedisServer, client: Redis) -> None:
    """Both step from the same revision: one step counts, the other is lost, and both see it."""

    async def scenario() -> None:
        ours, theirs = RedisStore(redis.url), RedisStore(redis.url)
        record = session("a")
        await _written(ours, record)
        first, second = step(record), step(record)
        assert await commit(theirs, first) == [WRITTEN]
        assert await commit(ours, second) == [LOST]
        assert await ours.load(record.meta.key) == first.record
        assert await theirs.delete(record.meta.key, first.record.meta.revision) is WRITTEN
        assert await commit(ours, step(first.record)) == [GONE]
        await ours.close()
        await theirs.close()

    play(scenario)


@pytest.mark.parametrize(("rows", "state_bytes"), [(700, 16), (15, 1_000_000)])
def test_a_batch_may_be_larger_than_a_call(
    rows: int, state_bytes: int, redis: RedisServer, client: Redis
) -> None:
    """700 rows or 15 MB go in several calls, so that nobody waits for all of them; each row keeps
    its own outcome.
    """

    async def scenario() -> None:
        store = RedisStore(redis.url)
        records = [session(f"{i:04}", state=bytes([i % 256]) * state_bytes) for i in range(rows)]
        await _written(store, *records)
        writes = [step(each) for each in records]
        last = rows - 1
        assert await commit(store, writes[last]) == [WRITTEN]
        assert await store.delete(records[0].meta.key, records[0].meta.revision) is WRITTEN
        ran = scripts_run(client)
        assert await commit(store, *writes) == [GONE, *[WRITTEN] * (rows - 2), LOST]
        assert 3 <= scripts_run(client) - ran <= 4
        found = await asyncio.gather(*(store.load(each.meta.key) for each in records))
        assert found == [None, *(each.record for each in writes[1:])]
        await store.close()

    play(scenario)


def test_a_script_that_redis_forgot_is_sent_again(redis: RedisServer, client: Redis) -> None:
    """SCRIPT FLUSH costs no step: what was refused had not run, and runs once."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        record = session("a")
        await _written(store, record)
        first = step(record)
        client.script_flush()
        assert await commit(store, first) == [WRITTEN]
        client.script_flush()
        assert await store.delete(record.meta.key, first.record.meta.revision) is WRITTEN
        await store.close()

    play(scenario)


def test_damage_costs_its_own_session_alone(
    redis: RedisServer, client: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A flipped bit, a cut value, another's value and a foreign one: found, left out of the list,
    logged once, and deleted by their revisions; the neighbour is served.
    """

    async def scenario() -> None:
        store = RedisStore(redis.url)
        names = ("bit", "copy", "cut", "foreign", "good")
        records = {name: session(name) for name in names}
        await _written(store, *records.values())
        client.setbit("carousel:s:t/bit", 8 * 60, not client.getbit("carousel:s:t/bit", 8 * 60))
        client.set("carousel:s:t/copy", client.get("carousel:s:t/good") or b"")
        client.set("carousel:s:t/cut", (client.get("carousel:s:t/cut") or b"")[:40])
        client.set("carousel:s:t/foreign", "hello")
        good = step(records["good"])
        assert await commit(store, good) == [WRITTEN]
        with caplog.at_level(logging.WARNING, "carousel.store"):
            for _ in range(2):
                found = await store.page("t", None, None, 9, 1000.0)
                assert [(meta.id, nbytes) for meta, nbytes in found] == [("good", 16)]
        assert caplog.text.count("is damaged") == 4
        for name in names[:4]:
            damaged = await store.load(("t", name))
            assert isinstance(damaged, Damaged)
            assert await store.delete(("t", name), damaged.revision) is WRITTEN
            await _written(store, session(name))
        assert await store.load(("t", "good")) == good.record
        await store.close()

    play(scenario)


def test_a_key_of_another_kind_costs_its_own_row_alone(redis: RedisServer, client: Redis) -> None:
    """A list where a session would be: the row is damaged, those beside it are written."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        records = [session(name) for name in "abc"]
        await _written(store, *records)
        client.delete("carousel:s:t/b")
        client.rpush("carousel:s:t/b", "not ours")
        expected = [WRITTEN, Outcome.DAMAGED, WRITTEN]
        assert await commit(store, *(step(each) for each in records)) == expected
        assert await store.write([Write(None, session("b"))]) == [Outcome.DAMAGED]
        assert await store.load(("t", "b")) == Damaged(b"")
        assert await store.delete(("t", "b"), b"another revision") is LOST
        assert await store.delete(("t", "b"), b"") is WRITTEN
        await _written(store, session("b"))
        await store.close()

    play(scenario)


def test_an_atomic_write_stops_before_a_foreign_list(redis: RedisServer, client: Redis) -> None:
    """Where a tenant's list cannot be written, no session of the write is."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        client.set("carousel:ids:u", "not ours")
        writes = [Write(None, session("a")), Write(None, session("a", tenant="u"))]
        assert await store.write(writes, atomic=True) == [WRITTEN, Outcome.DAMAGED]
        assert await store.load(("t", "a")) is None
        await store.close()

    play(scenario)


def test_a_list_goes_on_where_it_stopped(redis: RedisServer, client: Redis) -> None:
    """Page after page, of one model among many sessions, without a gap or a repeat."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        records = [session(f"{i:03}", model="mn"[i % 7 == 0]) for i in range(600)]
        await _written(store, *reversed(records))
        wanted = [each.meta.id for each in records if each.meta.model == "n"]
        found: list[str] = []
        while page := await store.page("t", "n", found[-1] if found else None, 10, 1000.0):
            assert len(page) == min(10, len(wanted) - len(found))
            found += [meta.id for meta, _ in page]
        assert found == wanted
        await store.close()

    play(scenario)


def test_long_heads_are_read_whole(redis: RedisServer, client: Redis) -> None:
    """Recorded outputs of a megabyte do not hide a session from lists and sweeps."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        record = session("a", replies=b"r" * 1_000_000, state=b"s" * 2_000_000)
        await _written(store, record)
        page = await store.page("t", None, None, 9, 1000.0)
        assert page == [(record.meta, 2_000_000)]
        assert await store.expire(1060.0, 0.0) == [("t", "a")]
        await store.close()

    play(scenario)


def test_batches_that_come_together_go_together(redis: RedisServer, client: Redis) -> None:
    """What several engines commit while an answer is under way is one round trip, told apart."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        records = [session(f"{i:03}") for i in range(60)]
        await _written(store, *records)
        commits = Commits(store)
        redis.pause()
        try:
            numbers = [commits.begin(step(each)) for each in records]
            numbers.append(commits.begin(*(step(each) for each in records[:2])))
        finally:
            redis.resume()
        outcomes = [await commits.outcomes(each) for each in numbers]
        assert outcomes == [*[[WRITTEN]] * 60, [LOST, LOST]]
        # The opening, what the thread had taken when Redis stood still, and all the rest.
        assert store.stats.commits <= 4
        assert store.stats.rows == 122
        await store.close()

    play(scenario)
