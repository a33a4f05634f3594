"""While a session is reset, set or deleted, nobody finds what is being replaced."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from carousel.service.errors import PreconditionFailed, SessionExists, SessionNotFound
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.step import Step
from tests.harness.fakes import PATIENCE_S, FaultyStore
from tests.harness.rig import (
    Rig,
    play,
    sequence,
    settle,
    sums,
    witness_engine,
    witness_model,
)
from tests.harness.sequences import KEY, go_on

Change = Callable[[Rig], Awaitable[object]]

# What is done to a session at 5, and the running sum that it begins again from; None: it is gone.
CHANGES: dict[str, tuple[Change, float | None]] = {
    "reset": (lambda rig: rig.sessions.reset("", "a"), 0),
    "write": (
        lambda rig: rig.sessions.write_state("", "a", {"h": np.full((1, 2), 100, "f")}, 0),
        100,
    ),
    "delete": (lambda rig: rig.sessions.delete("", "a"), None),
}


@pytest.fixture(params=CHANGES)
def change(request: pytest.FixtureRequest) -> tuple[Change, float | None]:
    """One way after the other."""
    return CHANGES[request.param]


async def opened(rig: Rig) -> None:
    """A session that took one step, whose reply is recorded."""
    await rig.open("a")
    await rig.step("a", 5, position=0)


async def expect(rig: Rig, late: "asyncio.Future[StepReply]", start: float | None) -> None:
    """The late look, and a step like the recorded one, are answered by what there is now."""
    if start is None:
        for step in (late, rig.step("a", 5, position=0)):
            with pytest.raises(SessionNotFound):
                await step
    else:
        assert sums(await late) == [start + 1]
        again = await rig.step("a", 5, position=0)
        assert not again.replayed
        assert sums(again) == [start + 5]


def test_who_comes_meanwhile_waits(change: tuple[Change, float | None]) -> None:
    """A request that comes while the change is written sees what came of it."""
    run, start = change

    async def scenario() -> None:
        async with Rig() as rig:
            await opened(rig)
            late: list[asyncio.Future[StepReply]] = []

            async def look() -> None:
                late.append(asyncio.ensure_future(rig.step("a", 1, commit=False)))
                await settle()

            rig.store.meanwhile = look
            await run(rig)
            await expect(rig, late[0], start)

    play(scenario)


def test_who_leaves_meanwhile_changes_nothing(change: tuple[Change, float | None]) -> None:
    """A client that goes away while its change is written leaves the turn only when it is done."""
    run, start = change

    async def scenario() -> None:
        async with Rig() as rig:
            await opened(rig)
            late: list[asyncio.Future[StepReply]] = []

            async def leave() -> None:
                changing.cancel()
                await settle()
                late.append(asyncio.ensure_future(rig.step("a", 1, commit=False)))
                await settle()

            rig.store.meanwhile = leave
            changing = asyncio.ensure_future(run(rig))
            with suppress(asyncio.CancelledError):
                await changing
            assert changing.cancelled()
            await expect(rig, late[0], start)

    play(scenario)


def test_who_leaves_while_a_sequence_starts_anew() -> None:
    """A start whose client goes away is written to its end before anybody else has the turn."""

    async def scenario() -> None:
        async with Rig() as rig:
            sequences = rig.sessions.sequences

            def step(value: float, position: int | None = None) -> Step:
                deadline = time.monotonic() + PATIENCE_S
                return Step({"x": sequence(value)}, 1, deadline, position=position)

            await sequences.start(KEY, rig.model, step(5))
            await go_on(rig, 6)
            late: list[asyncio.Future[StepReply]] = []

            async def leave() -> None:
                starting.cancel()
                await settle()
                late.append(asyncio.ensure_future(go_on(rig, 6, position=1)))
                await settle()

            rig.store.meanwhile = leave
            starting = asyncio.ensure_future(sequences.start(KEY, rig.model, step(100)))
            with suppress(asyncio.CancelledError):
                await starting
            assert starting.cancelled()
            reply = await late[0]
            assert not reply.replayed
            assert sums(reply) == [106]

    play(scenario)


def test_all_who_want_a_session_get_the_same_one() -> None:
    """However many ask at once for a session that is not in memory, the store is asked once; one
    who leaves takes nothing from the others.
    """

    async def scenario() -> None:
        async with Rig() as rig:
            await opened(rig)
            session = rig.sessions.peek("", "a")
            assert session is not None
            rig.sessions.cache.resident.drop(session)
            rig.store.loads.clear()
            asking = [asyncio.ensure_future(rig.sessions.find("", "a")) for _ in range(5)]
            fetched: list[object] = []
            await asyncio.sleep(0)
            rig.sessions.cache.fetch("", "a", fetched.append)
            asking[1].cancel()
            found = [*await asyncio.gather(asking[0], *asking[2:]), *fetched]
            assert len(found) == 5
            assert len(set(map(id, found))) == 1
            assert rig.store.loads == ["a"]

    play(scenario)


def test_who_asks_later_knows_of_what_was_written_meanwhile() -> None:
    """A session that is opened while another caller was being told that there is none is found."""

    async def scenario() -> None:
        async with Rig() as rig:
            rig.store.answers = answers = asyncio.Event()
            early = asyncio.ensure_future(rig.sessions.find("", "a"))
            await settle()
            rig.store.answers = None
            await rig.open("a")
            late = asyncio.ensure_future(rig.sessions.find("", "a"))
            await settle()
            answers.set()
            with pytest.raises(SessionNotFound):
                await early
            assert (await late).id == "a"

    play(scenario)


async def _write_beside(meanwhile: Callable[[Rig], Awaitable[object]]) -> StepReply:
    """A session's state is set to 100 while another server does something to it; both serve two
    models. The reply to a step after it.
    """
    store = FaultyStore(shared=True)
    async with Rig(store=store) as first, Rig(store=store) as second:
        for rig in (first, second):
            rig.serve(rig.model, witness_model(witness_engine(), name="other", state_id="o"))
        await opened(first)

        async def other_server() -> None:
            await meanwhile(second)

        store.meanwhile = other_server
        try:
            await first.sessions.write_state("", "a", {"h": np.full((1, 2), 100, "f")}, 0)
        finally:
            assert store.meanwhile is None
            reply = await second.step("a", 1)
    return reply


def test_a_write_beside_another_server_s_step_is_tried_again() -> None:
    """The state is what was set, whatever the other server made of the old one meanwhile."""

    async def scenario() -> None:
        reply = await _write_beside(lambda second: second.step("a", 7))
        assert (sums(reply), reply.position) == ([101], 1)

    play(scenario)


def test_a_write_beside_an_id_that_is_opened_for_another_model_is_refused() -> None:
    """What was meant for the one model is not put into the other one's session."""
    replies: list[StepReply] = []

    async def reopen(second: Rig) -> None:
        await second.sessions.delete("", "a")
        await second.open("a", model="other")
        replies.append(await second.step("a", 3, commit=False))

    async def scenario() -> None:
        with pytest.raises(PreconditionFailed):
            await _write_beside(reopen)
        assert sums(replies[0]) == [3]

    play(scenario)


def test_a_delete_that_comes_second_says_which_session_there_is_none_of() -> None:
    """Another server deletes it while the first one's delete is on its way to the store."""

    async def scenario() -> None:
        store = FaultyStore(shared=True)
        async with Rig(store=store) as first, Rig(store=store) as second:
            await opened(first)

            async def be_first() -> None:
                await second.sessions.delete("", "a")

            store.meanwhile = be_first
            with pytest.raises(SessionNotFound, match="no session 'a'"):
                await first.sessions.delete("", "a")
            assert store.meanwhile is None

    play(scenario)


def test_a_fork_that_comes_second_names_every_id_that_is_taken() -> None:
    """Also where the first was written while the second looked at one id after the other."""

    async def scenario() -> None:
        store = FaultyStore(shared=True)
        async with Rig(store=store) as first, Rig(store=store) as second:
            await first.open("a")
            store.answers = answers = asyncio.Event()
            forking = asyncio.ensure_future(second.sessions.fork("", "a", session_ids=["b", "c"]))
            while store.loads[-1] != "b":
                answers.set()
                answers.clear()
                await settle()
            store.answers = None
            await first.sessions.fork("", "a", session_ids=["b", "c"])
            answers.set()
            with pytest.raises(SessionExists) as taken:
                await forking
            shown: Any = taken.value.fields["sessions"]
            assert [each["session_id"] for each in shown] == ["b", "c"]

    play(scenario)
