"""Sessions through their door, over the witness: turns, slots, reads and writes, forks, tenants."""

import asyncio
import time

import numpy as np
import pytest

from carousel.service.errors import (
    BackendFailed,
    CarouselError,
    DeadlineExceeded,
    NonFiniteState,
    QueueFull,
    SessionExists,
    SessionNotFound,
)
from tests.harness.rig import LAYOUT, Rig, play, settle, sums

POISON = -777.0


def test_steps_of_one_session_run_in_order_and_never_together() -> None:
    """Thirty steps sent at once give the running sums of their order, one row a batch."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            rng = np.random.default_rng(1)
            values = [
                [float(v) for v in rng.integers(0, 9, rng.integers(1, 30))] for _ in range(30)
            ]
            replies = await asyncio.gather(*(rig.step("s", *each) for each in values))
            assert [v for reply in replies for v in sums(reply)] == list(
                np.cumsum([v for each in values for v in each])
            )
            assert {rows for rows, _ in rig.backend.batches} == {1}

    play(scenario)


def test_sessions_share_batches() -> None:
    """While one batch runs the steps of twenty sessions gather, and run as one."""

    async def scenario() -> None:
        async with Rig(num_slots=64) as rig:
            ids = [await rig.open(f"s{n}") for n in range(20)]
            await rig.open("first")
            rig.backend.hold()
            first = asyncio.ensure_future(rig.step("first", 1))
            await rig.backend.entered()
            tasks = [asyncio.ensure_future(rig.step(each, n)) for n, each in enumerate(ids)]
            await settle()
            rig.backend.go()
            await first
            assert [sums(await task) for task in tasks] == [[n] for n in range(20)]
            assert rig.backend.batches == [(1, 1), (20, 1)]

    play(scenario)


def test_two_slots_serve_eight_sessions_and_strangers() -> None:
    """Many more busy sessions than slots, and stateless sequences beside: all end, sums right."""

    async def scenario() -> None:
        async with Rig(num_slots=2) as rig:
            ids = [await rig.open(f"s{n}") for n in range(8)]

            async def client(session_id: str, n: int) -> None:
                for turn in range(12):
                    values = [float(n)] * (1 + 20 * (turn % 2))
                    reply = await rig.step(session_id, *values, commit=turn % 4 != 3)
                    assert len(sums(reply)) == len(values)

            async def stranger(n: int) -> None:
                for _ in range(12):
                    await rig.step(ids[n], 0, commit=False)

            await asyncio.gather(
                *(client(each, n) for n, each in enumerate(ids)), *(stranger(n) for n in range(4))
            )
            for n, each in enumerate(ids):
                # Of every four steps the fourth, 21 long, was only looked at: 1 + 21 + 1 count.
                assert await rig.total(each) == n * 3 * 23

    play(scenario)


def test_the_session_that_was_idle_longest_gives_up_its_slot() -> None:
    """When slots run out the least recently used idle session leaves memory, and comes back."""

    async def scenario() -> None:
        async with Rig(num_slots=4) as rig:
            for each in ("a", "b", "c"):
                await rig.open(each)
                await rig.step(each, 1)
            await rig.step("a", 1)
            rig.backend.hold()
            looks = [asyncio.ensure_future(rig.step("a", 5, commit=False)) for _ in range(1)]
            strangers = [asyncio.ensure_future(rig.step(await rig.open("d"), 1))]
            await settle()
            assert rig.sessions.peek("", "b") is None
            assert rig.sessions.peek("", "c") is not None
            rig.backend.go()
            await asyncio.gather(*looks, *strangers)
            assert sums(await rig.step("b", 1)) == [2]

    play(scenario)


def test_a_full_queue_advances_nothing() -> None:
    """A step that is refused QueueFull leaves its session where it was and free for the next."""

    async def scenario() -> None:
        async with Rig(max_requests=1) as rig:
            await rig.open("a")
            await rig.open("b")
            rig.backend.hold()
            running = asyncio.ensure_future(rig.step("a", 1))
            await rig.backend.entered()
            with pytest.raises(QueueFull) as caught:
                await rig.step("b", 1)
            assert caught.value.advanced is False
            rig.backend.go()
            await running
            assert sums(await rig.step("b", 2, position=0)) == [2]

    play(scenario)


def test_the_line_for_one_session_is_bounded() -> None:
    """Only so many requests wait for their turn; one more is refused, those before it run."""

    async def scenario() -> None:
        async with Rig(max_waiting=2) as rig:
            await rig.open("s")
            rig.backend.hold()
            tasks = [asyncio.ensure_future(rig.step("s", 1)) for _ in range(3)]
            await rig.backend.entered()
            await settle()
            with pytest.raises(QueueFull):
                await rig.step("s", 1)
            rig.backend.go()
            assert [sums(await task) for task in tasks] == [[1], [2], [3]]

    play(scenario)


@pytest.mark.parametrize("behind", [False, True])
def test_a_deadline_that_passed_advances_nothing(behind: bool) -> None:
    """In the queue or behind another step: DeadlineExceeded, and the session is where it was."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            rig.backend.hold()
            running = [asyncio.ensure_future(rig.step("s", 1))] if behind else []
            await settle()
            late = asyncio.ensure_future(rig.step("s", 5, deadline=time.monotonic() - 1))
            if behind:
                with pytest.raises(DeadlineExceeded):
                    await late
                rig.backend.go()
            else:
                rig.backend.go()
                with pytest.raises(DeadlineExceeded):
                    await late
            await asyncio.gather(*running)
            assert await rig.total("s") == len(running)
            assert sums(await rig.step("s", 3)) == [len(running) + 3]

    play(scenario)


@pytest.mark.parametrize(("bad", "error"), [(POISON, BackendFailed), (3e38, NonFiniteState)])
def test_a_step_that_fails_late_leaves_the_session_where_it_was(
    bad: float, error: type[CarouselError]
) -> None:
    """A failure in the last of many chunks undoes them all; the session goes on from before."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            await rig.step("s", 7)
            with pytest.raises(error) as caught:
                await rig.step("s", *[1.0] * 200, bad, bad)
            assert caught.value.advanced is False
            assert len(rig.backend.batches) > 2
            assert (await rig.info("s")).position == 1
            assert sums(await rig.step("s", 1, position=1)) == [8]

    play(scenario)


def test_open_at_a_state_and_write_one() -> None:
    """A session may begin anywhere, and be put anywhere; the next step goes on from there."""

    async def scenario() -> None:
        async with Rig() as rig:
            state = LAYOUT.unpack(LAYOUT.pack({"h": np.full((1, 2), 20, np.float32)}))
            info = await rig.sessions.open(
                "", model="witness", session_id="s", state=state, position=9
            )
            assert (info.position, info.state_bytes) == (9, LAYOUT.nbytes)
            assert sums(await rig.step("s", 1, position=9)) == [21]
            info = await rig.sessions.write_state("", "s", state, 100)
            assert (info.session_id, info.position) == ("s", 100)
            assert sums(await rig.step("s", 2, position=100)) == [22]
            assert (await rig.sessions.reset("", "s")).position == 0
            assert sums(await rig.step("s", 3, position=0)) == [3]

    play(scenario)


def test_every_call_on_a_session_waits_for_the_step_that_runs() -> None:
    """Read, fork, reset and delete see the session after the running step, in their order."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            rig.backend.hold()
            running = asyncio.ensure_future(rig.step("s", 5))
            await rig.backend.entered()
            read = asyncio.ensure_future(rig.total("s"))
            fork = asyncio.ensure_future(rig.sessions.fork("", "s", session_ids=["f"]))
            reset = asyncio.ensure_future(rig.sessions.reset("", "s"))
            await settle()
            assert [each.done() for each in (read, fork, reset)] == [False] * 3
            rig.backend.go()
            await running
            assert (await read, (await fork).position, (await reset).position) == (5, 1, 0)
            assert (await rig.total("f"), await rig.total("s")) == (5, 0)

    play(scenario)


def test_a_session_is_deleted_after_the_step_that_runs() -> None:
    """The step is answered; what waited behind the delete finds no session."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            rig.backend.hold()
            running = asyncio.ensure_future(rig.step("s", 5))
            await rig.backend.entered()
            deleting = asyncio.ensure_future(rig.sessions.delete("", "s"))
            behind = asyncio.ensure_future(rig.step("s", 1))
            await settle()
            rig.backend.go()
            assert sums(await running) == [5]
            await deleting
            with pytest.raises(SessionNotFound):
                await behind
            assert rig.engine.slots.num_taken == 0
            await rig.open("s")
            assert sums(await rig.step("s", 1)) == [1]

    play(scenario)


def test_a_fork_is_all_or_none() -> None:
    """Where one of the ids is taken nothing is made, and the error names those that exist."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            await rig.step("s", 4)
            await rig.open("taken")
            with pytest.raises(SessionExists) as caught:
                await rig.sessions.fork("", "s", session_ids=["new", "taken"])
            found = caught.value.fields["sessions"]
            assert isinstance(found, list)
            assert [str(each["session_id"]) for each in found if isinstance(each, dict)] == [
                "taken"
            ]
            with pytest.raises(SessionNotFound):
                await rig.info("new")

    play(scenario)


def test_a_fork_that_names_an_id_twice_makes_nothing() -> None:
    """Two sessions cannot have one id: the fork is refused, and none of it is there."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("s")
            with pytest.raises(CarouselError):
                await rig.sessions.fork("", "s", session_ids=["a", "b", "a"])
            for each in ("a", "b"):
                with pytest.raises(SessionNotFound):
                    await rig.info(each)

    play(scenario)
