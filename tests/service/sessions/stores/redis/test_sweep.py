"""Expiry in Redis: nothing is buried that is in use, and each session once."""

import asyncio
from collections.abc import Callable, Sequence

from redis import Redis

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.session_record import SessionRecord
from carousel.service.sessions.stores.base import Damaged, Outcome, Tombstone, Write
from carousel.service.sessions.stores.redis.link import RedisLink
from carousel.service.sessions.stores.redis.scripts import Call
from carousel.service.sessions.stores.redis.store import RedisStore
from carousel.service.sessions.stores.redis.sweep import Swept, sweep
from tests.harness.redis_rows import Commits, commit, session, step
from tests.harness.redis_server import RedisServer
from tests.harness.rig import play

WRITTEN = Outcome.WRITTEN


async def _written(store: RedisStore, *records: SessionRecord) -> None:
    """Open sessions."""
    outcomes = await store.write([Write(None, each) for each in records])
    assert outcomes == [WRITTEN] * len(records)


def test_a_new_session_leaves_nothing_of_the_old(redis: RedisServer, client: Redis) -> None:
    """Where a tombstone was: its burial is called off."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        await _written(store, session("a"))
        assert await store.expire(1060.0, 0.0) == [("t", "a")]
        assert client.zcard("carousel:buried") == 1
        again = session("a", used_at=2000.0)
        await _written(store, again)
        assert client.zcard("carousel:buried") == 0
        assert await store.expire(1060.0, 1e9) == []
        assert await store.load(("t", "a")) == again
        await store.close()

    play(scenario)


def test_steps_do_not_touch_what_expiry_keeps(redis: RedisServer, client: Redis) -> None:
    """A session in use is looked at when it first might have expired, not buried, and due later."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        record = session("a", used_at=1000.0)
        await _written(store, record)
        used = step(record, used_at=1050.0)
        assert await commit(store, used) == [WRITTEN]
        assert client.zscore("carousel:due", "t/a") == 1060.0
        assert await store.expire(1100.0, 0.0) == []
        assert client.zscore("carousel:due", "t/a") == 1110.0
        assert await store.load(("t", "a")) == used.record
        assert await store.expire(1110.0, 0.0) == [("t", "a")]
        assert await store.load(("t", "a")) == Tombstone(1110.0)
        assert client.zcard("carousel:due") == 0
        assert client.zcard("carousel:ids:t") == 0
        assert await store.expire(1110.0, 1110.0) == []
        assert set(client.keys()) == {b"carousel:format"}
        await store.close()

    play(scenario)


class MeddledLink(RedisLink):
    """Lets somebody else act between what is read and the script that goes by it."""

    meanwhile: Callable[[], object] | None = None

    def call(self, calls: Sequence[Call]) -> list[bytes | StoreUnavailable]:
        """As RedisLink, after the others."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().call(calls)


def test_a_step_while_it_is_swept_keeps_a_session(redis: RedisServer, client: Redis) -> None:
    """The sweep has read that it expired; the step counts, and the next sweep looks again."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        record = session("a")
        await _written(store, record)
        used = step(record, used_at=1050.0)
        commits = Commits(store)

        def meanwhile() -> None:
            number = commits.begin(used)
            assert asyncio.run(commits.outcomes(number)) == [WRITTEN]

        link = MeddledLink(redis.url, None)
        link.meanwhile = meanwhile
        assert await asyncio.to_thread(sweep, link, 1060.0, store.clock.end_of) == Swept([], False)
        link.close()
        assert await store.load(("t", "a")) == used.record
        assert await store.expire(1060.0, 0.0) == []
        due = client.zscore("carousel:due", "t/a")
        assert isinstance(due, float)
        assert 1060.0 < due < 1061.0
        assert await store.expire(1061.0, 0.0) == []
        assert client.zscore("carousel:due", "t/a") == 1110.0
        await store.close()

    play(scenario)


def test_a_session_that_is_opened_anew_is_due_anew(redis: RedisServer, client: Redis) -> None:
    """Over an expired session that was not swept, with a shorter life."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        old = session("a", ttl_s=5000.0)
        await _written(store, old)
        new = session("a", used_at=7000.0, ttl_s=10.0)
        assert await store.write([Write(old.meta.revision, new)], atomic=True) == [WRITTEN]
        assert client.zscore("carousel:due", "t/a") == 7010.0
        assert await store.expire(7010.0, 0.0) == [("t", "a")]
        await store.close()

    play(scenario)


def test_servers_that_sweep_at_once_bury_each_session_once(
    redis: RedisServer, client: Redis
) -> None:
    """Three sweep a thousand sessions, of which half have expired: each key is told to one."""

    async def scenario() -> None:
        stores = [RedisStore(redis.url) for _ in range(3)]
        records = [session(f"{i:04}", tenant="a/b") for i in range(1000)]
        await _written(stores[0], *records)
        used = [step(each, used_at=2000.0) for each in records[::2]]
        assert await commit(stores[0], *used) == [WRITTEN] * 500
        swept = await asyncio.gather(*(each.expire(1500.0, 0.0) for each in stores))
        assert sorted(key for keys in swept for key in keys) == [
            each.meta.key for each in records[1::2]
        ]
        page = await stores[1].page("a/b", None, None, 1000, 1500.0)
        assert [meta.id for meta, _ in page] == [each.meta.id for each in records[::2]]
        for each in stores:
            await each.close()

    play(scenario)


def test_damaged_sessions_do_not_stop_a_sweep(redis: RedisServer, client: Redis) -> None:
    """Two hundred that cannot be read stand before one that has expired."""

    async def scenario() -> None:
        store = RedisStore(redis.url)
        await _written(store, *(session(f"{i:03}", ttl_s=1.0) for i in range(200)), session("z"))
        for i in range(200):
            client.setrange(f"carousel:s:t/{i:03}", 20, b"????????")
        assert await store.expire(1060.0, 0.0) == [("t", "z")]
        assert isinstance(await store.load(("t", "000")), Damaged)
        await store.close()

    play(scenario)
