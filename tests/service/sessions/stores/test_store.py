"""What every store promises, and what sessions do with its outcomes.

The suite runs over each store in STORES, made by a callable that is given a folder, and over Redis,
which needs a server as well.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from carousel.service.errors import SessionLimit
from carousel.service.sessions.committer import new_revision
from carousel.service.sessions.recorded_reply import add_reply
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Outcome, Store, Tombstone, Write
from carousel.service.sessions.stores.memory import MemoryStore
from carousel.service.sessions.stores.redis.store import RedisStore
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.fakes import PATIENCE_S
from tests.harness.redis_server import RedisServer
from tests.harness.rig import Rig, play, sequence, settle, sums

WRITTEN, LOST, GONE = Outcome.WRITTEN, Outcome.LOST, Outcome.GONE

MakeStore = Callable[[Path], Store]


def _memory(folder: Path) -> Store:
    return MemoryStore(1 << 20)


def _sqlite(folder: Path) -> Store:
    return SqliteStore(folder / "sessions.sqlite")


STORES: dict[str, MakeStore] = {"memory": _memory, "sqlite": _sqlite}


@pytest.fixture(params=[*sorted(STORES), "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Makes the store under test; to be called on the event loop."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        with server.client() as client:
            client.flushall()
        return lambda: RedisStore(server.url)
    return lambda: STORES[request.param](tmp_path)


def _record(
    session_id: str = "s",
    *,
    tenant: str = "",
    position: int = 0,
    used_at: float = 1000.0,
    model: str = "m",
    state: bytes = b"\1" * 16,
) -> SessionRecord:
    replies = add_reply(b"", 3, 4, {}, {"y": np.zeros((1, 2), np.float32)})
    replies = add_reply(replies, 4, 9, {"x": np.zeros(3)}, {"y": np.zeros(2 << 20, np.uint8)})
    identity = SessionIdentity((tenant, session_id), model, "w", 900.0, 60.0)
    meta = SessionMeta(identity, 1, new_revision(), position, used_at, replies)
    return SessionRecord(meta, state)


def _next(record: SessionRecord, **changes: int) -> Write:
    """The write that moves a session on from `record`."""
    meta = replace(
        record.meta,
        revision=new_revision(),
        position=changes.get("position", record.meta.position + 1),
    )
    return Write(record.meta.revision, SessionRecord(meta, b"\2" * 16))


async def _commit(store: Store, *writes: Write) -> list[Outcome]:
    """Commit and wait for the outcomes, from whatever thread they come."""
    done = Event()
    found: list[Outcome] = []

    def take(outcomes: object) -> None:
        assert isinstance(outcomes, list | tuple)
        found.extend(outcomes)
        done.set()

    await asyncio.to_thread(store.commit, writes, take)
    assert await asyncio.to_thread(done.wait, PATIENCE_S)
    return found


def test_what_is_written_is_loaded_whole(make: Callable[[], Store]) -> None:
    """Every field of a record, its replies and its bytes come back as they were."""

    async def scenario() -> None:
        store = make()
        record = _record(position=9)
        assert await store.write([Write(None, record)]) == [WRITTEN]
        assert await store.load(record.meta.key) == record
        assert await store.load(("", "never")) is None
        await store.close()

    play(scenario)


def test_each_row_of_a_commit_has_its_own_outcome(make: Callable[[], Store]) -> None:
    """Written, lost and gone in one commit; the written one counts, the others change nothing."""

    async def scenario() -> None:
        store = make()
        ours, moved, gone = _record("a"), _record("b"), _record("c")
        await store.write([Write(None, each) for each in (ours, moved, gone)])
        theirs = _next(moved, position=77)
        assert await _commit(store, theirs) == [WRITTEN]
        await store.delete(gone.meta.key, gone.meta.revision)
        step = _next(ours)
        assert await _commit(store, _next(moved), step, _next(gone)) == [LOST, WRITTEN, GONE]
        assert await store.load(ours.meta.key) == step.record
        assert await store.load(moved.meta.key) == theirs.record
        assert await store.load(gone.meta.key) is None
        await store.close()

    play(scenario)


def test_a_revision_is_used_once(make: Callable[[], Store]) -> None:
    """Of two writers that read the same revision one wins, though positions are equal."""

    async def scenario() -> None:
        store = make()
        record = _record()
        await store.write([Write(None, record)])
        first, second = _next(record), _next(record)
        assert await _commit(store, first, second) == [WRITTEN, LOST]
        assert await store.load(record.meta.key) == first.record
        assert await store.delete(record.meta.key, record.meta.revision) is LOST
        await store.close()

    play(scenario)


def test_a_new_session_needs_a_free_id(make: Callable[[], Store]) -> None:
    """A write without a base is lost where a session is."""

    async def scenario() -> None:
        store = make()
        await store.write([Write(None, _record())])
        assert await store.write([Write(None, _record())]) == [LOST]
        await store.close()

    play(scenario)


def test_an_atomic_write_is_all_or_none(make: Callable[[], Store]) -> None:
    """One row that does not count keeps the others out."""

    async def scenario() -> None:
        store = make()
        await store.write([Write(None, _record("b"))])
        outcomes = await store.write(
            [Write(None, _record("a")), Write(None, _record("b"))], atomic=True
        )
        assert outcomes[1] is LOST
        assert await store.load(("", "a")) is None
        await store.close()

    play(scenario)


def test_expired_sessions_become_tombstones_and_then_nothing(make: Callable[[], Store]) -> None:
    """Only what expired before the given time is buried; a tombstone goes after its own."""

    async def scenario() -> None:
        store = make()
        early, late = _record("a", used_at=1000), _record("b", used_at=2000)
        await store.write([Write(None, early), Write(None, late)])
        assert await store.expire(1059.0, 0.0) == []
        assert await store.expire(1060.0, 0.0) == [early.meta.key]
        assert await store.load(early.meta.key) == Tombstone(1060.0)
        assert await store.load(late.meta.key) == late
        assert await _commit(store, _next(early)) == [GONE]
        await store.expire(1060.0, 1060.0)
        assert await store.load(early.meta.key) is None
        await store.close()

    play(scenario)


def test_a_buried_id_may_be_written_anew(make: Callable[[], Store]) -> None:
    """A new session takes the place of a tombstone."""

    async def scenario() -> None:
        store = make()
        await store.write([Write(None, _record())])
        await store.expire(1e9, 0.0)
        again = _record()
        assert await store.write([Write(None, again)]) == [WRITTEN]
        assert await store.load(again.meta.key) == again
        await store.close()

    play(scenario)


def test_a_page_is_one_tenants_live_sessions_in_order(make: Callable[[], Store]) -> None:
    """By tenant, by model, after an id, so many, and none that has expired."""

    async def scenario() -> None:
        store = make()
        records = [_record(each, tenant="t") for each in ("c", "a", "d", "b")]
        records += [_record("a2", tenant="u"), _record("a3", tenant="t", used_at=0)]
        records += [_record("x", tenant="t", model="n")]
        await store.write([Write(None, each) for each in records])

        async def ids(model: str | None, after: str | None, limit: int) -> list[str]:
            found = await store.page("t", model, after, limit, 1000.0)
            assert {nbytes for _, nbytes in found} <= {16}
            return [meta.key[1] for meta, _ in found]

        assert await ids(None, None, 99) == ["a", "b", "c", "d", "x"]
        assert await ids("m", "a", 2) == ["b", "c"]
        assert await ids("n", None, 9) == ["x"]
        await store.close()

    play(scenario)


def test_memory_counts_what_it_holds() -> None:
    """Deleting and shrinking give room back: a full store takes a session again."""

    async def scenario() -> None:
        store = MemoryStore(2500)
        big = _record("a", state=b"\0" * 1500)
        await store.write([Write(None, big)])
        with pytest.raises(SessionLimit):
            await store.write([Write(None, _record("b"))])
        await store.write([_next(big)])  # 16 bytes of state from here on
        assert await store.write([Write(None, _record("b"))]) == [WRITTEN]

    play(scenario)


# What the sessions do when a commit is slow, lost or unknown.


def test_while_a_commit_is_under_way_other_sessions_run() -> None:
    """The next batch runs others; the session in flight is not scheduled again until it is done."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("a")
            await rig.open("b")
            rig.store.hold()
            first = asyncio.ensure_future(rig.step("a", 1))
            await rig.store.held()
            second, other = (asyncio.ensure_future(rig.step(each, 10)) for each in "ab")
            await rig.store.held()
            await settle()
            assert rig.store.commits == [["a"], ["b"]]
            assert [each.done() for each in (first, second, other)] == [False] * 3
            await rig.store.release()
            assert [sums(await each) for each in (first, second, other)] == [[1], [11], [10]]

    play(scenario)


def test_a_session_in_flight_is_not_given_up() -> None:
    """Its slots are pinned: neither the pool's need nor a sweep takes them during the commit."""

    async def scenario() -> None:
        async with Rig(num_slots=3, ttl_s=60) as rig:
            await rig.open("a")
            await rig.step("a", 1)
            rig.store.hold()
            step = asyncio.ensure_future(rig.step("a", 1))
            await rig.store.held()
            rig.clock.now += 30
            await rig.sessions.sweep()
            for _ in range(3):
                soon = asyncio.get_running_loop().time() + PATIENCE_S
                await rig.engine.infer({"x": sequence(1)}, 1, deadline=soon)
            await rig.store.release()
            assert sums(await step) == [2]
            assert sums(await rig.step("a", 1)) == [3]

    play(scenario)
