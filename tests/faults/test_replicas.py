"""Two processes on one store: what one of them has in memory may be behind what the store holds."""

import pytest

from carousel.service.errors import (
    PositionConflict,
    PreconditionFailed,
    SessionExpired,
    SessionNotFound,
)
from tests.harness.fakes import FaultyStore
from tests.harness.rig import LAYOUT, Rig, play, sums, witness_engine, witness_model


async def _behind(rig: Rig) -> FaultyStore:
    """A session that this process believes at position 1 and sum 1; it stands at 5 and sum 40."""
    await rig.open("s")
    await rig.step("s", 1)
    await rig.store.elsewhere("s", total=40, position=5)
    return rig.store


def test_a_step_on_a_stale_cache_is_judged_anew() -> None:
    """Its commit is lost; it runs again on what the store holds, and nothing is lost or doubled."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            await _behind(rig)
            assert sums(await rig.step("s", 2)) == [42]
            assert (await rig.info("s")).position == 6

    play(scenario)


def test_a_stale_position_is_refused_by_what_the_store_holds() -> None:
    """A step that names the cache's position loses its commit, and is then a conflict at 5."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            await _behind(rig)
            with pytest.raises(PositionConflict) as caught:
                await rig.step("s", 2, position=1)
            assert caught.value.fields == {"position": 5}
            assert await rig.total("s") == 40

    play(scenario)


def test_a_cached_session_is_no_ground_for_a_refusal() -> None:
    """A step that names the store's position runs, though the cache would refuse it."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            await _behind(rig)
            assert sums(await rig.step("s", 2, position=5)) == [42]

    play(scenario)


def test_a_cached_session_is_no_ground_for_a_replay() -> None:
    """What the cache has recorded, and the store has not any more, is not replayed."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            await _behind(rig)
            with pytest.raises(PositionConflict):
                await rig.step("s", 1, position=0)

    play(scenario)


def test_reads_and_looks_see_what_the_store_holds() -> None:
    """Info, state, fork and commit=false answer from the store's record, never from the cache."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            await _behind(rig)
            assert sums(await rig.step("s", 2, commit=False)) == [42]
            await rig.store.elsewhere("s", total=50, position=6)
            assert (await rig.info("s")).position == 6
            await rig.store.elsewhere("s", total=60, position=7)
            assert await rig.total("s") == 60
            await rig.store.elsewhere("s", total=70, position=8)
            fork = await rig.sessions.fork("", "s", session_ids=["f"])
            assert (fork.position, await rig.total("f")) == (8, 70)
            await rig.store.elsewhere("s", total=80, position=9)
            with pytest.raises(PreconditionFailed):
                await rig.sessions.reset("", "s", if_match='"another"')

    play(scenario)


def test_a_session_that_another_process_deleted_is_gone() -> None:
    """Its next step finds out at its commit: 404, and no slot is kept."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            await rig.open("s")
            await rig.step("s", 1)
            await rig.store.vanish("s")
            with pytest.raises(SessionNotFound):
                await rig.step("s", 2)
            assert rig.engine.slots.num_taken == 0

    play(scenario)


def test_a_session_that_another_process_keeps_alive_has_not_expired() -> None:
    """Only the store says that a session expired: another process may have slid its time."""

    async def scenario() -> None:
        store = FaultyStore(shared=True)
        async with Rig(store=store, ttl_s=60) as here, Rig(store=store, ttl_s=60) as there:
            await here.open("s")
            await here.step("s", 1)
            there.clock.now += 50
            await there.step("s", 2)
            here.clock.now += 70
            assert sums(await here.step("s", 3)) == [6]
            here.clock.now += 61
            with pytest.raises(SessionExpired):
                await here.step("s", 4)

    play(scenario)


def test_two_processes_in_turn_lose_and_double_nothing() -> None:
    """Either may serve any step of a session; retries are known to both."""

    async def scenario() -> None:
        store = FaultyStore(shared=True)
        async with Rig(store=store) as here, Rig(store=store) as there:
            await here.open("s")
            for position in range(10):
                rig, other = (here, there) if position % 2 else (there, here)
                assert sums(await rig.step("s", 1, position=position)) == [position + 1]
                again = await other.step("s", 1, position=position)
                assert again.replayed
                assert sums(again) == [position + 1]

    play(scenario)


@pytest.mark.parametrize("state_id", ["w", "other weights"])
def test_an_id_that_was_opened_anew_elsewhere_is_another_session(state_id: str) -> None:
    """Another process deleted it and opened it for another model: reads answer from that one."""

    async def scenario() -> None:
        store = FaultyStore(shared=True)
        async with Rig(store=store) as here, Rig(store=store) as there:
            second = witness_model(witness_engine(), name="second", state_id=state_id)
            here.serve(here.model, second)
            there.serve(
                there.model, witness_model(witness_engine(), name="second", state_id=state_id)
            )
            await here.open("s")
            await here.step("s", 5)
            await there.sessions.delete("", "s")
            await there.open("s", model="second")
            await there.step("s", 7, 7)
            info = await here.info("s")
            assert (info.model, info.position, await here.total("s")) == ("second", 2, 14)
            assert sums(await here.step("s", 1, position=2)) == [15]
            assert second.engine.core.stats.batches == 1

    play(scenario)


def test_a_write_that_sets_no_condition_is_not_refused_for_one() -> None:
    """Another process writes between read and write: without If-Match it is simply tried again."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            await rig.open("s")
            state = LAYOUT.unpack(bytes(LAYOUT.nbytes))
            for call in (
                lambda: rig.sessions.reset("", "s"),
                lambda: rig.sessions.write_state("", "s", state, 0),
                lambda: rig.sessions.delete("", "s"),
            ):
                rig.store.meanwhile = lambda: rig.store.elsewhere("s", total=9, position=4)
                await call()
            with pytest.raises(SessionNotFound):
                await rig.info("s")

    play(scenario)


def test_a_write_to_a_session_that_vanished_finds_none() -> None:
    """Another process deletes it between read and write: 404; with a stale tag 412."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            await rig.open("s")
            rig.store.meanwhile = lambda: rig.store.vanish("s")
            with pytest.raises(SessionNotFound):
                await rig.sessions.reset("", "s")
            await rig.open("t")
            tag = (await rig.sessions.read_state("", "t")).etag
            rig.store.meanwhile = lambda: rig.store.elsewhere("t", total=9, position=4)
            with pytest.raises(PreconditionFailed):
                await rig.sessions.delete("", "t", if_match=tag)
            assert await rig.total("t") == 9

    play(scenario)
