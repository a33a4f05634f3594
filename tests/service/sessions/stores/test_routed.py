"""Two stores behind one door: each session is in one of them, and found there."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from carousel.service.errors import SessionExists, SessionLimit, StoreUnavailable
from carousel.service.sessions.committer import new_revision
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.stores.base import Outcome, Tombstone, Write
from carousel.service.sessions.stores.memory import MemoryStore
from carousel.service.sessions.stores.routed import RoutedStore
from tests.harness.fakes import FaultyStore
from tests.harness.rig import Rig, play, witness_engine, witness_model

WRITTEN, LOST, GONE = Outcome.WRITTEN, Outcome.LOST, Outcome.GONE
# Sessions of this model stay in memory, those of any other do not.
LIGHT, HEAVY = "light", "heavy"


class Pair:
    """A routed store and the two behind it."""

    def __init__(self, max_bytes: int = 1 << 20) -> None:
        self.durable = FaultyStore()
        self.memory = MemoryStore(max_bytes)
        self.store = RoutedStore(self.durable, self.memory, frozenset({LIGHT}))

    async def where(self, session_id: str) -> str:
        """Which of the two have the session."""
        key = ("", session_id)
        found = []
        if isinstance(await self.durable.inner.load(key), SessionRecord):
            found.append("durable")
        if isinstance(await self.memory.load(key), SessionRecord):
            found.append("memory")
        return " and ".join(found)

    async def open(self, *records: SessionRecord) -> list[Outcome]:
        """Open sessions as `SessionOpener` does it."""
        return await self.store.write([Write(None, each) for each in records], atomic=True)


def _record(session_id: str, model: str, used_at: float = 1000.0) -> SessionRecord:
    identity = SessionIdentity(("", session_id), model, "w", 900.0, 60.0)
    return SessionRecord(SessionMeta(identity, 1, new_revision(), 0, used_at), bytes(16))


def _next(record: SessionRecord) -> Write:
    meta = replace(record.meta, revision=new_revision(), position=record.meta.position + 1)
    return Write(record.meta.revision, SessionRecord(meta, b"\1" * 16))


def _commit(store: RoutedStore, *writes: Write) -> list[Any]:
    """What `done` was called with, call by call; the stores of these tests answer at once."""
    calls: list[Sequence[Outcome] | StoreUnavailable] = []
    store.commit(writes, calls.append)
    return calls


def test_a_session_is_opened_in_its_models_store_and_stays() -> None:
    """By model when it is opened; steps, writes, reads and the end find it where it is."""

    async def scenario() -> None:
        pair = Pair()
        for model, place in ((LIGHT, "memory"), (HEAVY, "durable")):
            record = _record("s", model)
            assert await pair.open(record) == [WRITTEN]
            assert await pair.where("s") == place
            step = _next(record)
            assert _commit(pair.store, step) == [[WRITTEN]]
            write = _next(step.record)
            assert await pair.store.write([write]) == [WRITTEN]
            assert await pair.where("s") == place
            assert await pair.store.load(("", "s")) == write.record
            assert await pair.store.delete(("", "s"), step.record.meta.revision) is LOST
            assert await pair.store.delete(("", "s"), write.record.meta.revision) is WRITTEN
            assert await pair.where("s") == ""
            assert await pair.store.delete(("", "s"), write.record.meta.revision) is GONE

    play(scenario)


def test_a_session_of_a_model_that_was_moved_stays() -> None:
    """What the durable store holds from an earlier start goes on there, whatever its model."""

    async def scenario() -> None:
        pair = Pair()
        old = _record("old", LIGHT)
        await pair.durable.write([Write(None, old)])
        step = _next(old)
        assert _commit(pair.store, step) == [[WRITTEN]]
        assert await pair.store.write([_next(step.record)]) == [WRITTEN]
        assert await pair.where("old") == "durable"

    play(scenario)


def test_a_commit_over_both_stores_is_one_answer() -> None:
    """Each row has its own outcome, in order, and `done` is called once."""

    async def scenario() -> None:
        pair = Pair()
        light, heavy, stale = _record("l", LIGHT), _record("h", HEAVY), _record("m", LIGHT)
        await pair.open(light, stale)
        await pair.open(heavy)
        moved = _next(stale)
        assert _commit(pair.store, moved) == [[WRITTEN]]
        rows = [_next(heavy), _next(stale), _next(light), _next(_record("none", HEAVY))]
        assert _commit(pair.store, *rows) == [[WRITTEN, LOST, WRITTEN, GONE]]
        assert await pair.store.load(("", "l")) == rows[2].record
        assert await pair.store.load(("", "h")) == rows[0].record

    play(scenario)


def test_an_error_of_the_durable_store_is_told_once() -> None:
    """Where rows of a batch are in both stores, the error is the answer for all; where they are all
    in memory, the durable store is not asked.
    """

    async def scenario() -> None:
        pair = Pair()
        light, heavy = _record("l", LIGHT), _record("h", HEAVY)
        await pair.open(light)
        await pair.open(heavy)
        pair.durable.lose = "before"
        step = _next(light)
        assert _commit(pair.store, step) == [[WRITTEN]]
        (answer,) = _commit(pair.store, _next(step.record), _next(heavy))
        assert isinstance(answer, StoreUnavailable)

    play(scenario)


@pytest.mark.parametrize(("there", "here"), [(LIGHT, HEAVY), (HEAVY, LIGHT)])
def test_an_id_is_taken_in_both_stores(there: str, here: str) -> None:
    """An id of a session in one store cannot be opened in the other, and nothing of a fork is."""

    async def scenario() -> None:
        pair = Pair()
        await pair.open(_record("s", there))
        assert await pair.open(_record("s", here)) == [LOST]
        outcomes = await pair.open(_record("free", here), _record("s", here))
        assert outcomes[1] is LOST
        assert await pair.where("free") == ""
        assert await pair.store.write([Write(None, _record("s", here))]) == [LOST]

    play(scenario)


@pytest.mark.parametrize("order", [(LIGHT, HEAVY), (HEAVY, LIGHT)])
def test_of_two_that_open_one_id_at_once_one_wins(order: tuple[str, str]) -> None:
    """Also when they open it in different stores, and one of the stores takes its time."""

    async def scenario() -> None:
        pair = Pair()
        outcomes = await asyncio.gather(*(pair.open(_record("s", model)) for model in order))
        assert outcomes == [[WRITTEN], [LOST]]
        assert await pair.where("s") in ("durable", "memory")
        # Whoever waits for an id is let in when it is free again, errors included.
        pair.durable.away = True
        waiting = [asyncio.ensure_future(pair.open(_record("t", LIGHT))) for _ in range(2)]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(each, StoreUnavailable) for each in answers)

    play(scenario)


@pytest.mark.parametrize(("old", "new"), [(LIGHT, HEAVY), (HEAVY, LIGHT)])
def test_an_expired_id_opened_for_another_model_changes_its_store(old: str, new: str) -> None:
    """The new session is in its own model's store and nowhere else, unless the old one was used
    meanwhile.
    """

    async def scenario() -> None:
        pair = Pair()
        expired, fresh = _record("s", old), _record("s", new)
        await pair.open(expired)
        stale = Write(new_revision(), fresh)
        assert await pair.store.write([stale], atomic=True) == [LOST]
        assert await pair.store.load(("", "s")) == expired
        over = Write(expired.meta.revision, fresh)
        assert await pair.store.write([over], atomic=True) == [WRITTEN]
        assert await pair.where("s") == ("memory" if new == LIGHT else "durable")
        assert await pair.store.load(("", "s")) == fresh

    play(scenario)


@pytest.mark.parametrize("model", [LIGHT, HEAVY])
def test_a_session_goes_before_a_tombstone(model: str) -> None:
    """What is left of an expired session in one store hides no live one in the other."""

    async def scenario() -> None:
        pair = Pair()
        await pair.open(_record("a", LIGHT))
        await pair.open(_record("b", HEAVY))
        assert sorted(await pair.store.expire(1060.0, 0.0)) == [("", "a"), ("", "b")]
        for each in "ab":
            assert await pair.store.load(("", each)) == Tombstone(1060.0)
            fresh = _record(each, model)
            assert await pair.open(fresh) == [WRITTEN]
            assert await pair.store.load(("", each)) == fresh
        assert await pair.store.load(("", "c")) is None

    play(scenario)


def test_a_failed_sweep_forgets_nobody() -> None:
    """While the durable store is away memory buries nothing that nobody would be told of."""

    async def scenario() -> None:
        pair = Pair()
        await pair.open(_record("a", LIGHT))
        pair.durable.away = True
        with pytest.raises(StoreUnavailable):
            await pair.store.expire(1060.0, 0.0)
        assert await pair.where("a") == "memory"
        pair.durable.away = False
        assert await pair.store.expire(1060.0, 0.0) == [("", "a")]

    play(scenario)


def test_a_page_is_of_both_stores_in_order() -> None:
    """Sessions of both come in order of id, so many and after an id, by model where asked."""

    async def scenario() -> None:
        pair = Pair()
        await pair.open(*(_record(each, LIGHT) for each in ("a", "d", "e")))
        await pair.open(*(_record(each, HEAVY) for each in ("b", "c", "f")))

        async def ids(model: str | None, after: str | None, limit: int) -> str:
            found = await pair.store.page("", model, after, limit, 1000.0)
            return "".join(meta.id for meta, _ in found)

        assert await ids(None, None, 9) == "abcdef"
        assert await ids(None, "a", 3) == "bcd"
        assert await ids(LIGHT, None, 9) == "ade"
        assert await ids(HEAVY, "b", 1) == "c"

    play(scenario)


def test_it_is_there_while_the_durable_store_is() -> None:
    """Pings, figures and whether others write too are the durable store's; memory has its limit."""

    async def scenario() -> None:
        pair = Pair(max_bytes=10)
        with pytest.raises(SessionLimit):
            await pair.open(_record("s", LIGHT))
        assert await pair.open(_record("s", HEAVY)) == [WRITTEN]
        await pair.store.ping()
        pair.durable.away = True
        with pytest.raises(StoreUnavailable):
            await pair.store.ping()
        assert pair.store.stats is pair.durable.stats
        assert RoutedStore(FaultyStore(shared=True), pair.memory, frozenset()).shared
        assert (pair.store.shared, pair.store.name) == (False, "faulty+memory")
        await pair.store.close()

    play(scenario)


@pytest.mark.parametrize(("old", "new"), [(LIGHT, "witness"), ("witness", LIGHT)])
def test_clients_meet_one_store(old: str, new: str) -> None:
    """A taken id is refused across stores, and free again once its session has expired."""

    async def scenario() -> None:
        async with Rig() as rig:
            rig.serve(rig.model, witness_model(witness_engine(), name=LIGHT))
            pair = Pair()
            sessions = Sessions(
                pair.store,
                rig.catalog,
                ttl_s=60.0,
                max_ttl_s=60.0,
                tombstone_s=600.0,
                deadline_s=10.0,
                max_waiting=9,
                clock=rig.clock,
            )
            await sessions.open("", model=old, session_id="s")
            with pytest.raises(SessionExists):
                await sessions.open("", model=new, session_id="s")
            assert (await sessions.fork("", "s", session_ids=["t"])).sessions[0].model == old
            assert await pair.where("t") == await pair.where("s")
            rig.clock.now += 61
            assert (await sessions.open("", model=new, session_id="s")).model == new
            assert (await sessions.info("", "s")).model == new
            assert [each.session_id for each in (await sessions.page("")).sessions] == ["s"]
            await sessions.fork("", "s", session_ids=["t"])
            assert await pair.where("t") == await pair.where("s")

    play(scenario)
