"""What becomes of a step whose commit is lost, whose session is gone, or whose store is away."""

import asyncio

import pytest

from carousel.service.errors import (
    PositionConflict,
    SessionExpired,
    SessionNotFound,
    StoreUnavailable,
)
from tests.harness.rig import Rig, play, settle, sums, until


def test_of_one_batch_each_row_has_its_own_outcome() -> None:
    """One lost, one gone, one written: judged anew, 404, and answered."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            for each in "abcd":
                await rig.open(each)
                await rig.step(each, 1)
            await rig.store.elsewhere("a", total=30, position=9)
            await rig.store.vanish("b")
            rig.backend.hold()
            tasks = [asyncio.ensure_future(rig.step("d", 1))]
            await rig.backend.entered()
            tasks += [asyncio.ensure_future(rig.step(each, 5)) for each in "abc"]
            await settle()
            rig.backend.go()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert rig.store.commits[-2:] == [["a", "b", "c"], ["a"]]
            assert isinstance(found[2], SessionNotFound)
            totals = [sums(each) for each in found if not isinstance(each, BaseException)]
            assert totals == [[2], [35], [6]]

    play(scenario)


def test_requests_keep_their_order_when_a_commit_is_lost() -> None:
    """What came behind the lost step stays behind it."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            await rig.open("s")
            await rig.step("s", 1)
            rig.store.hold()
            tasks = [asyncio.ensure_future(rig.step("s", value)) for value in (10, 200, 3000)]
            await rig.store.held()
            await rig.store.elsewhere("s", total=50_000, position=9)
            await rig.store.release()
            assert [sums(await each) for each in tasks] == [[50_010], [50_210], [53_210]]

    play(scenario)


@pytest.mark.parametrize("written", [True, False])
def test_an_unknown_outcome_is_said_and_found_out(written: bool) -> None:
    """503 with advanced unknown; the next call loads from the store, and a retry is safe."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            await rig.step("s", 1, position=0)
            rig.store.lose = "after" if written else "before"
            with pytest.raises(StoreUnavailable) as caught:
                await rig.step("s", 5, position=1)
            assert caught.value.advanced == "unknown"
            assert rig.sessions.peek("", "s") is None
            assert rig.engine.slots.num_taken == 0
            again = await rig.step("s", 5, position=1)
            assert (again.replayed, sums(again)) == (written, [6])
            assert (await rig.info("s")).position == 2

    play(scenario)


def test_those_who_wait_behind_an_unknown_outcome_start_from_the_store() -> None:
    """They are judged by what the store holds, in the order they came."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            rig.store.hold()
            tasks = [asyncio.ensure_future(rig.step("s", value)) for value in (1, 20, 300)]
            await rig.store.held()
            rig.store.lose = "after"
            await rig.store.release()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(found[0], StoreUnavailable)
            assert [sums(each) for each in found[1:] if not isinstance(each, BaseException)] == [
                [21],
                [321],
            ]

    play(scenario)


def test_a_client_that_leaves_during_the_commit_has_its_step_counted() -> None:
    """After the run the step is committed whoever waits; a retry replays it."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            rig.store.hold()
            step = asyncio.ensure_future(rig.step("s", 4, position=0))
            await rig.store.held()
            step.cancel()
            await settle()
            await rig.store.release()
            again = await rig.step("s", 4, position=0)
            assert (again.replayed, sums(again)) == (True, [4])

    play(scenario)


def test_a_client_that_leaves_before_its_run_has_no_step() -> None:
    """In the queue or behind another step, a cancelled step never runs; the session goes on."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("a")
            await rig.open("b")
            rig.backend.hold()
            running = asyncio.ensure_future(rig.step("a", 1))
            await rig.backend.entered()
            queued = asyncio.ensure_future(rig.step("b", 50, position=0))
            behind = asyncio.ensure_future(rig.step("a", 50))
            await settle()
            queued.cancel()
            behind.cancel()
            await settle()
            rig.backend.go()
            await running
            assert sums(await rig.step("a", 1, position=1)) == [2]
            assert sums(await rig.step("b", 2, position=0)) == [2]
            assert all((x != 50).all() for x, _ in rig.backend.seen)

    play(scenario)


def test_a_turn_given_to_one_who_just_left_goes_on() -> None:
    """A waiter that is cancelled as its turn comes passes it on, also when it was the last."""

    async def scenario() -> None:
        async with Rig(num_slots=3) as rig:
            await rig.open("s")
            session = await rig.sessions.find("", "s")
            rig.backend.hold()
            running = asyncio.ensure_future(rig.step("s", 1))
            await rig.backend.entered()
            waiting = asyncio.ensure_future(rig.step("s", 50))
            await settle()
            # `waiting` has its turn in the same turn of the loop in which it is cancelled.
            rig.backend.go()
            await until(lambda: not session.waiters)
            waiting.cancel()
            await running
            await settle()
            assert waiting.cancelled()
            assert sums(await rig.step("s", 2)) in ([3], [53])
            await rig.crowd_out()
            assert rig.sessions.peek("", "s") is None

    play(scenario)


def test_a_store_that_is_away_is_said_and_nothing_is_lost() -> None:
    """While it is away calls are 503; when it is back the session is as the store has it."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            await rig.step("s", 1)
            rig.store.away = True
            for call in (
                rig.info("s"),
                rig.sessions.reset("", "s"),
                rig.sessions.fork("", "s"),
                rig.sessions.delete("", "s"),
                rig.open("t"),
            ):
                with pytest.raises(StoreUnavailable):
                    await call
            rig.store.away = False
            assert sums(await rig.step("s", 1, position=1)) == [2]

    play(scenario)


def test_a_reset_whose_answer_was_lost_leaves_nothing_stale() -> None:
    """After a failed write the cache is not trusted: the next step starts from the store."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            await rig.step("s", 7)

            async def fail() -> None:
                await rig.store.elsewhere("s", total=0, position=0)
                raise StoreUnavailable("the answer was lost")

            rig.store.meanwhile = fail
            with pytest.raises(StoreUnavailable):
                await rig.sessions.reset("", "s")
            with pytest.raises(PositionConflict):
                await rig.step("s", 1, position=1)
            assert sums(await rig.step("s", 1, position=0)) == [1]

    play(scenario)


def test_a_session_that_expires_while_its_step_commits_is_judged_at_its_admission() -> None:
    """The step counts and slides the time to live; after that, idle, the session expires."""

    async def scenario() -> None:
        async with Rig(ttl_s=60) as rig:
            await rig.open("s")
            rig.store.hold()
            step = asyncio.ensure_future(rig.step("s", 1))
            await rig.store.held()
            rig.clock.now += 61
            await rig.store.release()
            assert sums(await step) == [1]
            with pytest.raises(SessionExpired):
                await rig.step("s", 1)

    play(scenario)


@pytest.mark.parametrize("turns", range(4))
def test_a_client_that_leaves_as_its_write_is_lost_holds_up_nobody(turns: int) -> None:
    """The turn of a lost step whose client left at once goes to the next."""

    async def scenario() -> None:
        async with Rig(shared=True) as rig:
            await rig.open("s")
            await rig.step("s", 1)
            rig.store.hold()
            lost = asyncio.ensure_future(rig.step("s", 1000))
            await rig.store.held()
            behind = asyncio.ensure_future(rig.step("s", 1))
            await settle()
            await rig.store.elsewhere("s", total=10, position=9)
            release = asyncio.ensure_future(rig.store.release())
            await until(lambda: lost.done() or not rig.engine.num_pending)
            await settle(turns)
            lost.cancel()
            assert sums(await behind) in ([11], [1011])
            await release

    play(scenario)
