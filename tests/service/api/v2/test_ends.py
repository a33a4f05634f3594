"""The step that ends a sequence: what is left of it, and for how long it is answered again."""

import asyncio

import pytest

from carousel.service.errors import (
    PositionConflict,
    ReplyNotKept,
    SessionNotFound,
    StoreUnavailable,
)
from carousel.service.sessions.recorded_reply import MAX_REPLY_BYTES
from carousel.service.sessions.sequences import sequence_key
from carousel.service.sessions.session_record import ENDED_S
from tests.harness.rig import Rig, play, settle, sums
from tests.harness.sequences import go_on, gone, start


def test_an_end_gives_its_slot_back_at_once() -> None:
    """Nothing of an ended sequence is in memory but its record."""

    async def scenario() -> None:
        async with Rig() as rig:
            await start(rig, 1)
            await go_on(rig, 2)
            assert rig.engine.slots.num_taken == 1
            await go_on(rig, 3, end=True)
            assert rig.engine.slots.num_taken == 0
            assert rig.sessions.num_in_memory == 0

    play(scenario)


def test_an_end_that_names_its_position_is_replayed_for_ten_minutes() -> None:
    """The same inputs from where the very last step began; being replayed does not prolong it."""

    async def scenario() -> None:
        async with Rig() as rig:
            await start(rig, 1)
            last = await go_on(rig, 2, 3, end=True)
            for _ in range(2):
                rig.clock.now += ENDED_S / 2 - 1
                again = await go_on(rig, 2, 3, position=1, end=True)
                assert again.replayed
                assert (sums(again), again.position) == (sums(last), 3)
                assert await gone(rig)
            rig.clock.now += 2
            with pytest.raises(SessionNotFound):
                await go_on(rig, 2, 3, position=1, end=True)

    play(scenario)


@pytest.mark.parametrize("case", ["no position", "another", "other inputs", "no end"])
def test_nothing_else_is_answered_by_an_ended_sequence(case: str) -> None:
    """A step that is not its very last one again, flags and all, finds no sequence."""

    async def scenario() -> None:
        async with Rig() as rig:
            await start(rig, 1)
            await go_on(rig, 2, end=True)
            position = {"no position": None, "another": 0}.get(case, 1)
            with pytest.raises(SessionNotFound):
                await go_on(
                    rig,
                    9 if case == "other inputs" else 2,
                    position=position,
                    end=case != "no end",
                )

    play(scenario)


def test_a_sequence_may_be_one_request() -> None:
    """Start and end in one; repeated it is replayed, and else it begins anew."""

    async def scenario() -> None:
        async with Rig() as rig:
            only = await start(rig, 4, end=True)
            assert sums(only.reply) == [4]
            assert await gone(rig)
            assert rig.engine.slots.num_taken == 0
            again = await start(rig, 4, position=0, end=True)
            assert (sums(again.reply), again.reply.replayed) == ([4], True)
            other = await start(rig, 5, position=0, end=True)
            assert (sums(other.reply), other.reply.replayed, other.restarted) == ([5], False, False)
            fresh = await start(rig, 6, position=0)
            assert (sums(fresh.reply), fresh.reply.replayed, fresh.restarted) == ([6], False, False)
            assert sums(await go_on(rig, 1)) == [7]

    play(scenario)


def test_an_end_does_not_repeat_a_step_that_was_none() -> None:
    """A step done without the flag is not done again with it; the sequence lives on."""

    async def scenario() -> None:
        async with Rig() as rig:
            await start(rig, 1)
            await go_on(rig, 2, position=1)
            with pytest.raises(PositionConflict) as caught:
                await go_on(rig, 2, position=1, end=True)
            assert caught.value.fields == {"position": 2}
            assert sums(await go_on(rig, 3, position=2)) == [6]

    play(scenario)


def test_what_waits_behind_an_end_finds_no_sequence_but_the_same_end_its_reply() -> None:
    """Steps that came while the last one ran are judged after it."""

    async def scenario() -> None:
        async with Rig() as rig:
            await start(rig, 1)
            rig.backend.hold()
            end = asyncio.ensure_future(go_on(rig, 2, position=1, end=True))
            await rig.backend.entered()
            behind = asyncio.ensure_future(go_on(rig, 3))
            again = asyncio.ensure_future(go_on(rig, 2, position=1, end=True))
            await settle()
            rig.backend.go()
            assert sums(await end) == [3]
            with pytest.raises(SessionNotFound):
                await behind
            assert (sums(await again), (await again).replayed) == ([3], True)

    play(scenario)


@pytest.mark.parametrize("lost", ["before", "after"])
def test_an_end_whose_answer_was_lost_may_be_sent_again(lost: str) -> None:
    """Whether the store wrote it or not, the retry is answered, and the sequence is over."""

    async def scenario() -> None:
        async with Rig() as rig:
            await start(rig, 1)
            rig.store.lose = lost  # type: ignore[assignment]
            with pytest.raises(StoreUnavailable):
                await go_on(rig, 2, position=1, end=True)
            again = await go_on(rig, 2, position=1, end=True)
            assert (sums(again), again.replayed) == ([3], lost == "after")
            assert await gone(rig)

    play(scenario)


def test_an_end_too_large_to_keep_says_so() -> None:
    """The step was done; its repeat is refused as any other of that size."""

    async def scenario() -> None:
        async with Rig() as rig:
            many = [0.0] * (MAX_REPLY_BYTES // 8 + 1)
            await start(rig, 1)
            await go_on(rig, *many, end=True)
            with pytest.raises(ReplyNotKept):
                await go_on(rig, *many, position=1, end=True)

    play(scenario)


def test_ended_sequences_are_no_part_of_any_page() -> None:
    """Pages are as full as they would be without them."""

    async def scenario() -> None:
        async with Rig() as rig:
            keys = sorted(sequence_key("", "witness", index) for index in range(20))
            for index, key in enumerate(keys):
                await start(rig, 1, key=key, end=index % 3 > 0)
            live = [key[1] for key in keys[::3]]
            assert [each.session_id for each in (await rig.sessions.page("")).sessions] == live
            found: list[str] = []
            after: str | None = None
            while True:
                page = await rig.sessions.page("", limit=2, after=after)
                found += [each.session_id for each in page.sessions]
                after = page.next
                if after is None:
                    break
                assert len(page.sessions) == 2
            assert found == live

    play(scenario)
