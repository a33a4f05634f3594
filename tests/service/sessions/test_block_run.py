"""Rows that go together: as single steps would, whatever happens to the sessions meanwhile."""

import asyncio
import time

import numpy as np
import pytest

from carousel.service.errors import QueueFull, StoreUnavailable
from tests.harness.columns import IDS, last_sums, open_ten, step_ten
from tests.harness.fakes import PATIENCE_S, FaultyStore
from tests.harness.rig import Rig, play, sequence, settle, sums


def test_rows_of_many_sessions_make_one_run_and_one_commit() -> None:
    """Also a second time, when they have slots, and of several time steps."""

    async def scenario() -> None:
        async with Rig(num_slots=32, lanes=2) as rig:
            await open_ten(rig)
            first = await step_ten(rig, [[n] for n in range(10)])
            second = await step_ten(rig, [[n, 1] for n in range(10)])
            assert last_sums(first) == list(range(10))
            assert last_sums(second) == [2 * n + 1 for n in range(10)]
            assert second.positions.tolist() == [3] * 10
            assert rig.backend.batches == [(10, 1), (10, 2)]
            assert rig.store.commits == [IDS, IDS]
            for n, each in enumerate(IDS):
                assert (await rig.info(each)).position == 3
                assert await rig.total(each) == 2 * n + 1

    play(scenario)


def test_a_row_is_recorded_as_a_step_of_its_own() -> None:
    """A retry by itself is answered from the record; a retry of a step by itself, in columns."""

    async def scenario() -> None:
        async with Rig(num_slots=32, lanes=2) as rig:
            await open_ten(rig)
            await step_ten(rig, [[n, 7] for n in range(10)])
            reply = await rig.step("s4", 4, 7, position=0)
            assert (reply.replayed, sums(reply)) == (True, [4, 11])
            for each in IDS:
                await rig.step(each, 1, 2, position=2)
            again = await step_ten(rig, [[1, 2]] * 10, position=2)
            assert again.replayed.all()
            assert last_sums(again) == [n + 10 for n in range(10)]
            assert again.positions.tolist() == [4] * 10
            other = await step_ten(rig, [[1, 3]] * 10, position=2)
            assert other.status.tolist() == [409] * 10
            assert other.positions.tolist() == [4] * 10

    play(scenario)


def test_eight_replies_are_kept_and_the_ninth_pushes_out_the_first() -> None:
    """As of single steps: of nine steps in columns the last eight are answered again."""

    async def scenario() -> None:
        async with Rig(num_slots=32, lanes=2) as rig:
            await open_ten(rig)
            for _ in range(9):
                await step_ten(rig, [[1]] * 10)
            for position in range(1, 9):
                again = await step_ten(rig, [[1]] * 10, position=position)
                assert again.replayed.all()
                assert last_sums(again) == [position + 1] * 10
            assert (await step_ten(rig, [[1]] * 10, position=0)).status.tolist() == [409] * 10

    play(scenario)


def test_rows_of_other_lengths_are_packed() -> None:
    """Those of one length go together; each finds its place again."""

    async def scenario() -> None:
        async with Rig(num_slots=32, lanes=2) as rig:
            await open_ten(rig)
            values = [[n] * (1 + n % 2) for n in range(10)]
            replies = await step_ten(rig, values)
            wanted = [total for each in values for total in np.cumsum(each)]
            assert replies.outputs["output"][:, 0].tolist() == wanted
            assert sorted(rig.backend.batches) == [(5, 1), (5, 2)]

    play(scenario)


def test_a_pool_of_few_slots_serves_many_rows() -> None:
    """Sessions give up their slots to others of the same request, and none is lost by it."""

    async def scenario() -> None:
        async with Rig(num_slots=6) as rig:
            await open_ten(rig)
            for turn in range(1, 4):
                assert last_sums(await step_ten(rig, [[n] for n in range(10)])) == [
                    turn * n for n in range(10)
                ]

    play(scenario)


def test_a_busy_session_holds_up_its_own_row_alone() -> None:
    """The others are answered in their run; the row runs when the step before it has ended."""

    async def scenario() -> None:
        async with Rig(num_slots=32, lanes=2) as rig:
            await open_ten(rig)
            rig.backend.hold()
            before = asyncio.ensure_future(rig.step("s3", 100))
            await rig.backend.entered()
            columns = asyncio.ensure_future(step_ten(rig, [[n] for n in range(10)]))
            await settle()
            behind = asyncio.ensure_future(rig.step("s3", 1000))
            await settle()
            rig.backend.go()
            assert last_sums(await columns) == [103 if n == 3 else n for n in range(10)]
            assert (sums(await before), sums(await behind)) == ([100], [1103])

    play(scenario)


def test_what_comes_behind_a_block_waits_for_it() -> None:
    """A step of one of its sessions runs after the commit, from where the block left it."""

    async def scenario() -> None:
        async with Rig(num_slots=32, lanes=2) as rig:
            await open_ten(rig)
            rig.store.hold()
            columns = asyncio.ensure_future(step_ten(rig, [[n] for n in range(10)]))
            await rig.store.held()
            behind = asyncio.ensure_future(rig.step("s5", 100))
            await settle()
            assert not behind.done()
            await rig.store.release()
            await columns
            assert sums(await behind) == [105]

    play(scenario)


def test_a_row_that_another_server_has_moved_is_judged_anew() -> None:
    """It runs from where the session is now; one that named its position is refused with that."""

    async def scenario() -> None:
        async with Rig(shared=True, num_slots=32) as rig:
            await open_ten(rig)
            await step_ten(rig, [[1]] * 10)
            await rig.store.elsewhere("s2", 50.0, 7)
            replies = await step_ten(rig, [[1]] * 10)
            assert last_sums(replies) == [51 if n == 2 else 2 for n in range(10)]
            assert replies.positions.tolist() == [8 if n == 2 else 2 for n in range(10)]
            await rig.store.elsewhere("s2", 60.0, 2)
            await rig.store.elsewhere("s6", 60.0, 9)
            named = await step_ten(rig, [[1]] * 10, position=2)
            assert named.status.tolist() == [409 if n == 6 else 200 for n in range(10)]
            assert named.positions.tolist() == [9 if n == 6 else 3 for n in range(10)]
            assert last_sums(named)[2] == 61

    play(scenario)


@pytest.mark.parametrize("lost", ["before", "after"])
def test_a_commit_whose_answer_is_lost_is_told_and_retried_exactly_once(lost: str) -> None:
    """Every row is told that nobody knows; sent again with its position it counts once."""

    async def scenario() -> None:
        async with Rig(num_slots=32, lanes=2) as rig:
            await open_ten(rig)
            await step_ten(rig, [[1]] * 10, position=0)
            rig.store.lose = "before" if lost == "before" else "after"
            replies = await step_ten(rig, [[5]] * 10, position=1)
            assert all(isinstance(each, StoreUnavailable) for each in replies.errors.values())
            assert len(replies.errors) == 10
            again = await step_ten(rig, [[5]] * 10, position=1)
            assert (last_sums(again), again.positions.tolist()) == ([6] * 10, [2] * 10)
            assert again.replayed.tolist() == [lost == "after"] * 10

    play(scenario)


def test_who_leaves_moves_nothing_that_has_not_begun() -> None:
    """A block that waits for the engine is dropped, and its sessions are free."""

    async def scenario() -> None:
        async with Rig(num_slots=32, lanes=2) as rig:
            await open_ten(rig)
            await rig.open("other")
            rig.backend.hold()
            running: list[asyncio.Future[object]] = [asyncio.ensure_future(rig.step("other", 1))]
            await rig.backend.entered()
            # The other lane.
            running.append(asyncio.ensure_future(_infer(rig)))
            await rig.backend.entered()
            columns = asyncio.ensure_future(step_ten(rig, [[1]] * 10))
            await settle()
            columns.cancel()
            with pytest.raises(asyncio.CancelledError):
                await columns
            rig.backend.go()
            await asyncio.gather(*running)
            assert last_sums(await step_ten(rig, [[5]] * 10, position=0)) == [5] * 10

    async def _infer(rig: Rig) -> None:
        deadline = time.monotonic() + PATIENCE_S
        await rig.engine.infer({"x": sequence(1, 1)}, 2, deadline=deadline)

    play(scenario)


def test_a_queue_without_room_refuses_the_rows_and_holds_no_session() -> None:
    """503 for the rows, each session where it was and free at once."""

    async def scenario() -> None:
        async with Rig(max_requests=1, num_slots=32) as rig:
            await open_ten(rig)
            await rig.open("other")
            rig.backend.hold()
            running = asyncio.ensure_future(rig.step("other", 1))
            await rig.backend.entered()
            replies = await step_ten(rig, [[1]] * 10)
            assert all(isinstance(each, QueueFull) for each in replies.errors.values())
            assert len(replies.errors) == 10
            rig.backend.go()
            await running
            assert last_sums(await step_ten(rig, [[5]] * 10, position=0)) == [5] * 10

    play(scenario)


def test_sessions_that_are_not_in_memory_come_in_and_go_together() -> None:
    """After a restart the store is asked for each once, and one run serves them all."""

    async def scenario() -> None:
        store = FaultyStore()
        async with Rig(store=store, num_slots=32) as rig:
            await open_ten(rig)
            await step_ten(rig, [[n] for n in range(10)])
        async with Rig(store=FaultyStore(store.inner), num_slots=32) as rig:
            replies = await step_ten(rig, [[1]] * 10, ids=[*IDS[:9], "nobody"])
            assert last_sums(replies) == [*(n + 1 for n in range(9)), 0]
            assert replies.status.tolist() == [200] * 9 + [404]
            assert replies.positions.tolist() == [2] * 9 + [-1]
            assert rig.backend.batches == [(9, 1)]
            assert sorted(rig.store.loads) == ["nobody", *IDS[:9]]

    play(scenario)


def test_the_store_may_take_no_longer_than_the_deadline() -> None:
    """Rows whose sessions did not come in time are told; the sessions are where they were."""

    async def scenario() -> None:
        store = FaultyStore()
        async with Rig(store=store, num_slots=32) as rig:
            await open_ten(rig)
        async with Rig(store=FaultyStore(store.inner), num_slots=32) as rig:
            rig.store.answers = answers = asyncio.Event()
            replies = await step_ten(rig, [[1]] * 10, deadline=time.monotonic() + 0.05)
            assert replies.status.tolist() == [504] * 10
            answers.set()
            rig.store.answers = None
            assert last_sums(await step_ten(rig, [[5]] * 10, position=0)) == [5] * 10

    play(scenario)
