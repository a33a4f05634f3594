"""Sequences in every store, and between servers that share one."""

from pathlib import Path

import pytest

from carousel.service.errors import SessionNotFound
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.stores.memory import MemoryStore
from carousel.service.sessions.stores.redis.store import RedisStore
from carousel.service.sessions.stores.routed import RoutedStore
from carousel.service.sessions.stores.sealed import seal, unseal
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.fakes import FaultyStore
from tests.harness.redis_server import RedisServer
from tests.harness.rig import Rig, play, sums
from tests.harness.sequences import go_on, gone, start


def test_two_servers_see_the_same_sequence() -> None:
    """A start, an end or its repeat on one of them is judged by what the other one wrote."""

    async def scenario() -> None:
        store = FaultyStore(shared=True)
        async with Rig(store=store) as a, Rig(store=store) as b:
            await start(a, 1)
            assert sums(await go_on(b, 2)) == [3]
            assert sums(await go_on(a, 3)) == [6]
            await go_on(b, 4, position=3, end=True)
            again = await go_on(a, 4, position=3, end=True)
            assert (sums(again), again.replayed) == ([10], True)
            with pytest.raises(SessionNotFound):
                await go_on(a, 5)
            assert not (await start(a, 1)).restarted
            assert (await start(b, 2)).restarted
            assert sums(await go_on(a, 3)) == [5]

    play(scenario)


def test_a_start_goes_over_what_another_server_wrote_meanwhile() -> None:
    """It comes after that, however the two met in the store, and runs once."""

    async def scenario() -> None:
        store = FaultyStore(shared=True)
        async with Rig(store=store) as a, Rig(store=store) as b:

            async def first() -> None:
                await start(b, 100)

            store.meanwhile = first
            new = await start(a, 1)
            assert (sums(new.reply), new.restarted) == ([1], True)
            assert sums(await go_on(b, 2)) == [3]
            assert len(a.backend.batches) == 1

    play(scenario)


@pytest.mark.parametrize("kind", ["memory", "sqlite", "routed", "redis"])
def test_every_store_keeps_sequences(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Begun, ended, replayed and begun again; another process finds what this one left."""

    def make() -> FaultyStore:
        if kind == "sqlite":
            return FaultyStore(SqliteStore(tmp_path / "sessions.sqlite"))
        if kind == "redis":
            server: RedisServer = request.getfixturevalue("redis")
            return FaultyStore(RedisStore(server.url))
        if kind == "routed":
            durable = SqliteStore(tmp_path / "routed.sqlite")
            return FaultyStore(RoutedStore(durable, MemoryStore(1 << 20), frozenset({"witness"})))
        return FaultyStore()

    async def scenario() -> None:
        store = make()
        async with Rig(store=store) as rig:
            for end in (True, False):
                assert not (await start(rig, 1)).restarted
                assert sums(await go_on(rig, 2)) == [3]
                assert (await start(rig, 5)).restarted
                assert (await start(rig, 5, position=0)).reply.replayed
                assert sums(await go_on(rig, 6, position=1, end=end)) == [11]
                if end:
                    assert await gone(rig)
                    assert (await go_on(rig, 6, position=1, end=True)).replayed
        if kind in ("sqlite", "redis"):
            await store.inner.close()
            store = make()
            async with Rig(store=store) as rig:
                assert sums(await go_on(rig, 1, position=2)) == [12]
                await go_on(rig, 2, position=3, end=True)
                assert await gone(rig)
        await store.inner.close()

    play(scenario)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize("started", [False, True])
def test_flags_are_sealed_with_the_head(ended: bool, started: bool) -> None:
    """What a store keeps as bytes comes back with its flags."""
    identity = SessionIdentity(("t", "s"), "m", "w", 900.0, 60.0)
    meta = SessionMeta(identity, 3, b"r" * 16, 5, 1000.0, b"replies", ended, started)
    found = unseal(b"r" * 16, seal(SessionRecord(meta, b"state")), b"state")
    assert found == SessionRecord(meta, b"state")
    assert found.meta.expires_at == (1600.0 if ended else 1060.0)
