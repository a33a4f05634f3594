"""Sequences are begun by a step, in one write; a repeat of it is told from a new one."""

import asyncio

import pytest

from carousel.service.errors import (
    BackendFailed,
    PositionConflict,
    SessionExpired,
    SessionNotFound,
    StoreUnavailable,
)
from carousel.service.sessions.sequences import sequence_key
from carousel.service.sessions.session_record import SessionMeta
from carousel.service.sessions.stores.base import Write
from tests.harness.rig import Rig, play, settle, sums, until
from tests.harness.sequences import KEY, go_on, gone, start


def test_a_sequence_is_its_steps_since_the_start() -> None:
    """The start begins at zero, later steps go on, and the session's own calls work between."""

    async def scenario() -> None:
        async with Rig() as rig:
            assert sums((await start(rig, 1, 2)).reply) == [1, 3]
            assert sums(await go_on(rig, 3)) == [6]
            assert sums(await rig.step(KEY[1], 4, position=3)) == [10]
            assert (await rig.info(KEY[1])).position == 4
            assert [each.session_id for each in (await rig.sessions.page("")).sessions] == [KEY[1]]
            reply = await go_on(rig, 5, end=True)
            assert (sums(reply), reply.position, reply.replayed) == ([15], 5, False)
            assert await gone(rig)

    play(scenario)


def test_names_of_sequences_are_told_apart() -> None:
    """By tenant, by model, by id, and 7 from "7"; what runs together in one is another."""
    keys = {
        sequence_key(tenant, model, name)
        for tenant in ("", "t")
        for model in ("m", "m1")
        for name in (7, "7", 17, "17", "s7", "")
    }
    assert len(keys) == 24
    assert len({key[1] for key in keys}) == 24
    assert all(key[1].startswith("v2.") for key in keys)


def test_a_start_on_a_live_sequence_begins_anew_and_says_so() -> None:
    """The old one's state, position and replies are gone, and so is its slot."""

    async def scenario() -> None:
        async with Rig() as rig:
            assert not (await start(rig, 1)).restarted
            await go_on(rig, 2)
            await go_on(rig, 3)
            again = await start(rig, 10)
            assert (sums(again.reply), again.restarted) == ([10], True)
            with pytest.raises(PositionConflict):
                await go_on(rig, 3, position=2)
            assert sums(await go_on(rig, 1)) == [11]
            assert rig.engine.slots.num_taken == 1

    play(scenario)


def test_a_start_that_fails_leaves_what_was_there() -> None:
    """A row that fails opens no sequence, and costs a live one nothing."""

    async def scenario() -> None:
        async with Rig() as rig:
            with pytest.raises(BackendFailed):
                await start(rig, rig.backend.poison)
            assert await gone(rig)
            await start(rig, 1)
            await go_on(rig, 2)
            with pytest.raises(BackendFailed):
                await start(rig, rig.backend.poison)
            assert sums(await go_on(rig, 3, position=2)) == [6]

    play(scenario)


def test_a_start_and_an_end_are_one_write_each() -> None:
    """Nothing stands in the store that is a sequence without its first step, or one step more."""

    async def scenario() -> None:
        async with Rig() as rig:
            writes: list[SessionMeta] = []
            write, commit = rig.store.inner.write, rig.store.inner.commit

            async def note(given: list[Write], *, atomic: bool = False) -> object:
                writes.extend(each.record.meta for each in given)
                return await write(given, atomic=atomic)

            def note_commit(given: list[Write], done: object) -> None:
                writes.extend(each.record.meta for each in given)
                commit(given, done)  # type: ignore[arg-type]

            rig.store.inner.write = note  # type: ignore[method-assign, assignment]
            rig.store.inner.commit = note_commit  # type: ignore[method-assign, assignment]
            await start(rig, 1)
            await go_on(rig, 2, end=True)
            assert [(each.position, each.ended) for each in writes] == [(1, False), (2, True)]

    play(scenario)


def test_a_start_is_a_repeat_where_the_sequence_stands_at_its_end() -> None:
    """It names position 0 and the same inputs: the recorded reply, and nothing begins anew."""

    async def scenario() -> None:
        async with Rig() as rig:
            first = await start(rig, 1, 2)
            again = await start(rig, 1, 2, position=0)
            assert again.reply.replayed
            assert (sums(again.reply), again.restarted) == (sums(first.reply), False)
            assert sums(await go_on(rig, 3, position=2)) == [6]

    play(scenario)


@pytest.mark.parametrize("case", ["no position", "other inputs", "a step later", "an end", "reset"])
def test_every_other_start_begins_anew(case: str) -> None:
    """Without position 0, with other inputs or flags, further on, or not begun by a start."""

    async def scenario() -> None:
        async with Rig() as rig:
            await start(rig, 1)
            if case == "a step later":
                await go_on(rig, 0)
            if case == "reset":
                await rig.sessions.reset(*KEY)
                await rig.step(KEY[1], 1, position=0)
            again = await start(
                rig,
                2 if case == "other inputs" else 1,
                position=None if case == "no position" else 0,
                end=case == "an end",
            )
            assert again.restarted
            assert not again.reply.replayed
            assert again.reply.position == 1
            if case == "an end":
                assert await gone(rig)
            else:
                assert (await rig.info(KEY[1])).position == 1

    play(scenario)


def test_a_start_waits_for_the_step_that_runs_and_those_behind_it_for_the_start() -> None:
    """In the order they came: the old sequence's step, the start, and a step of the new one."""

    async def scenario() -> None:
        async with Rig() as rig:
            await start(rig, 1)
            rig.backend.hold()
            old = asyncio.ensure_future(go_on(rig, 2))
            await rig.backend.entered()
            new = asyncio.ensure_future(start(rig, 10))
            await settle()
            behind = asyncio.ensure_future(go_on(rig, 5))
            await settle()
            rig.backend.go()
            assert sums(await old) == [3]
            assert sums((await new).reply) == [10]
            assert sums(await behind) == [15]

    play(scenario)


def test_steps_sent_behind_a_first_start_wait_for_it() -> None:
    """Also where there was no sequence: what follows a start on its way is not refused."""

    async def scenario() -> None:
        async with Rig() as rig:
            rig.backend.hold()
            first = asyncio.ensure_future(start(rig, 1, position=0))
            await rig.backend.entered()
            behind = asyncio.ensure_future(go_on(rig, 2))
            again = asyncio.ensure_future(start(rig, 1, position=0))
            await settle()
            rig.backend.go()
            assert sums((await first).reply) == [1]
            assert sums(await behind) == [3]
            assert (await again).restarted

    play(scenario)


def test_an_abandoned_start_leaves_nothing() -> None:
    """A client that leaves before its first step was written has no sequence, and no slot."""

    async def scenario() -> None:
        async with Rig() as rig:
            rig.backend.hold()
            first = asyncio.ensure_future(start(rig, 1))
            await rig.backend.entered()
            behind = asyncio.ensure_future(go_on(rig, 2))
            await settle()
            first.cancel()
            await settle()
            rig.backend.go()
            with pytest.raises(SessionNotFound):
                await behind
            await until(lambda: rig.engine.num_pending == 0)
            assert rig.engine.slots.num_taken == 0

    play(scenario)


def test_a_start_that_the_store_refused_may_be_sent_again() -> None:
    """While the store is away the old sequence stays; nothing in memory is trusted after it."""

    async def scenario() -> None:
        async with Rig() as rig:
            await start(rig, 1)
            rig.store.away = True
            with pytest.raises(StoreUnavailable):
                await start(rig, 5, position=0)
            rig.store.away = False
            assert sums(await go_on(rig, 2)) == [3]
            again = await start(rig, 5, position=0)
            assert (sums(again.reply), again.reply.replayed) == ([5], False)

    play(scenario)


def test_an_expired_sequence_is_told_from_one_that_never_was() -> None:
    """Expired for a day; a start begins it anew, and is not a restart."""

    async def scenario() -> None:
        async with Rig(ttl_s=60) as rig:
            with pytest.raises(SessionNotFound):
                await go_on(rig, 1)
            await start(rig, 1)
            rig.clock.now += 61
            with pytest.raises(SessionExpired):
                await go_on(rig, 1)
            again = await start(rig, 1, position=0)
            assert (again.reply.replayed, again.restarted) == (False, False)

    play(scenario)
