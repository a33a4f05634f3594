"""Sessions whose machine has a wrong clock for a while: none is ended by it, and none lives on for
ever. On memory, on a file, and on a Redis whose own clock it is.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from carousel.service.errors import SessionExpired, SessionNotFound
from carousel.service.sessions.clock import GRACE_S, Clock
from carousel.service.sessions.stores.base import Store, Tombstone
from carousel.service.sessions.stores.memory import MemoryStore
from carousel.service.sessions.stores.redis.store import RedisStore
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.clocks import Machine
from tests.harness.fakes import FaultyStore
from tests.harness.redis_server import RedisServer
from tests.harness.rig import MAX_TTL_S, Rig, play, sums

DAY_S = 86400.0
TTL_S = 60.0

Open = Callable[[Clock], Store]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the store, at each call as a process that starts anew finds it."""
    if request.param == "memory":
        kept = MemoryStore(1 << 20)

        def memory(clock: Clock) -> Store:
            kept.clock = clock
            return kept

        return memory
    if request.param == "sqlite":
        return lambda clock: SqliteStore(tmp_path / "s", clock=clock)
    server: RedisServer = request.getfixturevalue("redis")
    with server.client() as client:
        client.flushall()

    def redis(clock: Clock) -> Store:
        store = RedisStore(server.url)
        # As if Redis' clock said what the test's machine says.
        store.clock = clock
        return store

    return redis


@asynccontextmanager
async def _process(open_store: Open, clock: Clock, ttl_s: float = TTL_S) -> AsyncIterator[Rig]:
    """A service's sessions, from its start to its end."""
    store = open_store(clock)
    rig = Rig(store=FaultyStore(store), ttl_s=ttl_s, clock=clock)
    async with rig:
        yield rig
    await store.close()


def test_a_clock_that_is_ahead_for_half_a_minute_ends_nothing(open_store: Open) -> None:
    """It was two hours, and the sweep took sessions for good."""

    async def scenario() -> None:
        machine = Machine()
        clock = machine.clock()
        async with _process(open_store, clock) as rig:
            await rig.open("a")
            await rig.step("a", 1)
            machine.set(7200)
            machine.wait(20, clock)
            assert sums(await rig.step("a", 2)) == [3]
            await rig.sessions.sweep()
            machine.wait(15, clock)
            machine.set(-7200)
            machine.wait(5, clock)
            await rig.sessions.sweep()
            assert sums(await rig.step("a", 3)) == [6]
            # Nor does the session live longer for it.
            machine.wait(TTL_S + 1, clock)
            with pytest.raises(SessionExpired):
                await rig.step("a", 4)

    play(scenario)


@pytest.mark.parametrize("lasts_s", [35.0, 3 * GRACE_S])
def test_a_step_under_a_clock_that_is_behind_ends_nothing(open_store: Open, lasts_s: float) -> None:
    """Two days, and however long it lasts: until it is back, and after that."""

    async def scenario() -> None:
        machine = Machine()
        clock = machine.clock()
        async with _process(open_store, clock) as rig:
            for each in "ab":
                await rig.open(each)
                await rig.step(each, 1)
            machine.set(-2 * DAY_S)
            total = 1
            for by_s in (0.0, 2 * DAY_S):
                machine.set(by_s)
                for _ in range(int((lasts_s if by_s == 0 else GRACE_S + 90) / 5)):
                    machine.wait(5, clock)
                    total += 1
                    assert sums(await rig.step("a", 1)) == [total]
                    await rig.sessions.sweep()
            assert clock() == pytest.approx(machine.wall)
            assert (await rig.info("a")).expires_at == pytest.approx(clock() + TTL_S, abs=9)
            # The other one was idle all the while, and has not been forgotten.
            with pytest.raises(SessionExpired):
                await rig.step("b", 1)

    play(scenario)


def test_a_forward_jump_that_stays_ends_nothing_at_once(open_store: Open) -> None:
    """Sessions have their time to live again, also in the list and for the sweep."""

    async def scenario() -> None:
        machine = Machine()
        clock = machine.clock()
        async with _process(open_store, clock, ttl_s=GRACE_S + 60) as rig:
            await rig.open("a")
            await rig.step("a", 1)
            machine.set(30 * DAY_S)
            machine.wait(GRACE_S + 2, clock)
            assert clock() == pytest.approx(machine.wall)
            machine.wait(GRACE_S, clock)
            for _ in range(2):
                await rig.sessions.sweep()
                assert [each.session_id for each in (await rig.sessions.page("")).sessions] == ["a"]
            assert sums(await rig.step("a", 2)) == [3]
            machine.wait(GRACE_S + 60 + 1, clock)
            assert (await rig.sessions.page("")).sessions == ()
            with pytest.raises(SessionExpired):
                await rig.step("a", 3)
            machine.wait(61, clock)
            await rig.sessions.sweep()
            await rig.sessions.sweep()
            found = await rig.store.load(("", "a"))
            assert isinstance(found, Tombstone)

    play(scenario)


def test_a_start_under_a_clock_that_is_ahead_sweeps_nothing(open_store: Open) -> None:
    """Half a minute of two hours, as a machine is started: what is there is there afterwards."""

    async def scenario() -> None:
        machine = Machine()
        async with _process(open_store, machine.clock(), ttl_s=1000) as rig:
            await rig.open("a")
            await rig.step("a", 1)
        machine.set(7200)
        clock = machine.clock(is_settled=False)
        async with _process(open_store, clock) as rig:
            # By all that can be known here it has expired.
            with pytest.raises(SessionExpired):
                await rig.step("a", 2)
            machine.wait(34, clock)
            await rig.sessions.sweep()
            machine.set(-7200)
            machine.wait(GRACE_S - 1, clock)
            await rig.sessions.sweep()
        async with _process(open_store, machine.clock(is_settled=False)) as rig:
            assert sums(await rig.step("a", 2)) == [3]

    play(scenario)


def test_a_start_under_a_clock_that_is_behind_ends_nothing(open_store: Open) -> None:
    """What is stored lies ahead of it. Sessions go on, then and when the clock is put right."""

    async def scenario() -> None:
        machine = Machine()
        async with _process(open_store, machine.clock()) as rig:
            for each in "ab":
                await rig.open(each)
                await rig.step(each, 1)
        machine.set(-2 * DAY_S)
        clock = machine.clock(is_settled=False)
        async with _process(open_store, clock) as rig:
            total = 1
            for by_s in (0.0, 2 * DAY_S, 0.0):
                machine.set(by_s)
                for _ in range(30):
                    machine.wait(6, clock)
                    total += 1
                    assert sums(await rig.step("a", 1)) == [total]
                    await rig.sessions.sweep()
            assert clock() == pytest.approx(machine.wall)

    play(scenario)


@pytest.mark.parametrize("ahead_s", [60 * 365 * DAY_S, 2 * MAX_TTL_S])
def test_a_stamp_of_a_clock_that_was_ahead_keeps_no_session_for_ever(
    open_store: Open, ahead_s: float
) -> None:
    """Years ahead, for long enough to be believed. When the clock is right again, in the same
    process or in the next one, it ends no session and keeps none for all that time.
    """

    async def scenario() -> None:
        machine = Machine()
        clock = machine.clock()
        async with _process(open_store, clock) as rig:
            await rig.open("old")
            machine.set(ahead_s)
            machine.wait(GRACE_S + 2, clock)
            for each in ("new", "ended", "idle"):
                await rig.open(each)
                await rig.step(each, 1)
            await rig.step("old", 1)
            if rig.store.inner.name == "memory":
                machine.set(-ahead_s)
                machine.wait(GRACE_S + 2, clock)
                await _check_straight(rig, machine, clock)
                return
        machine.set(-ahead_s)
        clock = machine.clock()
        async with _process(open_store, clock) as rig:
            await _check_straight(rig, machine, clock)

    play(scenario)


async def _check_straight(rig: Rig, machine: Machine, clock: Clock) -> None:
    """The clock is right again, and settled."""
    for each in ("new", "old"):
        assert sums(await rig.step(each, 2)) == [3]
        assert (await rig.info(each)).last_used_at == pytest.approx(clock(), abs=1)
    await rig.sessions.sweep()
    await rig.sessions.sweep()
    assert (await rig.info("idle")).last_used_at == pytest.approx(clock(), abs=1)
    machine.wait(TTL_S - 5, clock)
    assert sums(await rig.step("idle", 2)) == [3]
    machine.wait(2 * TTL_S + 61, clock)
    await rig.sessions.sweep()
    await rig.sessions.sweep()
    assert rig.sessions.num_in_memory == 0
    assert (await rig.sessions.page("")).sessions == ()
    for each in ("new", "ended", "idle"):
        assert isinstance(await rig.store.load(("", each)), Tombstone)
    machine.wait(DAY_S + 61)
    clock.look()
    await rig.sessions.sweep()
    with pytest.raises(SessionNotFound):
        await rig.step("new", 3)


def test_a_tombstone_that_lies_ahead_is_forgotten_after_a_day(open_store: Open) -> None:
    """It was made under a clock that was a year ahead."""

    async def scenario() -> None:
        machine = Machine()
        clock = machine.clock()
        async with _process(open_store, clock) as rig:
            machine.set(365 * DAY_S)
            machine.wait(GRACE_S + 2, clock)
            await rig.open("a")
            machine.wait(TTL_S + 61, clock)
            await rig.sessions.sweep()
            assert isinstance(await rig.store.load(("", "a")), Tombstone)
            machine.set(-365 * DAY_S)
            machine.wait(GRACE_S + 2, clock)
            await rig.sessions.sweep()
            with pytest.raises(SessionExpired):
                await rig.step("a", 1)
            for _ in range(25):
                machine.wall += 3600
                machine.steady += 3600
                clock.look()
            await rig.sessions.sweep()
            with pytest.raises(SessionNotFound):
                await rig.step("a", 1)

    play(scenario)
