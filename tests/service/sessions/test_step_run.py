"""One step on its way: it is told once, later, wherever its client leaves and whatever it waits
for, and leaves the session to whoever comes next.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.request import Abandoned
from carousel.service.errors import DeadlineExceeded, InvalidRequest, PositionConflict
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.step import Step
from carousel.service.sessions.step_run import StepRun
from tests.harness.fakes import PATIENCE_S, FaultyStore
from tests.harness.rig import Rig, play, sequence, settle, sums

Go = Callable[[], Awaitable[object]]


class Told:
    """What a step was told, and that it was."""

    def __init__(self) -> None:
        self.outcomes: list[StepReply | Exception] = []
        self._first = asyncio.Event()

    def __call__(self, outcome: StepReply | Exception) -> None:
        self.outcomes.append(outcome)
        self._first.set()

    async def kinds(self) -> list[type]:
        """Of all that was told, once something was and nothing more is to come."""
        async with asyncio.timeout(PATIENCE_S):
            await self._first.wait()
        await settle(100)
        return [type(each) for each in self.outcomes]


def begin(
    rig: Rig, told: Told, *, position: int | None = None, within_s: float = PATIENCE_S
) -> StepRun:
    """A step of session a that feeds it a one."""
    deadline = time.monotonic() + within_s
    step = Step({"x": sequence(1)}, 1, deadline, position)
    run = rig.sessions.begin(("", "a"), lambda _: step, deadline, told)
    assert told.outcomes == [], "told before it was begun"
    return run


async def at_the_store(rig: Rig) -> Go:
    """The session has to be looked up, and the store does not answer."""
    rig.store.answers = answers = asyncio.Event()

    async def go() -> None:
        rig.store.answers = None
        answers.set()

    return go


async def behind_a_step(rig: Rig, session_id: str) -> Go:
    """A step of a session runs, and does not end."""
    rig.backend.hold()
    running = asyncio.ensure_future(rig.step(session_id, 1))
    await rig.backend.entered()

    async def go() -> None:
        rig.backend.go()
        await running

    return go


async def at_the_turn(rig: Rig) -> Go:
    """Another step has the turn."""
    return await behind_a_step(rig, "a")


async def at_the_engine(rig: Rig) -> Go:
    """The engine is at a stranger's step."""
    await rig.open("b")
    return await behind_a_step(rig, "b")


WAITS: dict[str, Callable[[Rig], Awaitable[Go]]] = {
    "store": at_the_store,
    "turn": at_the_turn,
    "engine": at_the_engine,
}


@pytest.mark.parametrize("wait", WAITS)
def test_who_leaves_is_told_once_and_moves_nothing(wait: str) -> None:
    """Wherever the step waits; the next one runs from where the session was."""

    async def scenario() -> None:
        # One run at a time: on a second lane the step would begin beside the stranger's.
        async with Rig(lanes=1) as rig:
            await rig.open("a")
            go = await WAITS[wait](rig)
            told = Told()
            run = begin(rig, told)
            await settle()
            assert repr(run).endswith(f"{wait}>")
            run.abandon()
            run.abandon()
            await go()
            assert await told.kinds() == [Abandoned]
            before = 1 if wait == "turn" else 0
            assert sums(await rig.step("a", 1, position=before)) == [before + 1]

    play(scenario)


@pytest.mark.parametrize("wait", WAITS)
def test_a_step_waits_no_longer_than_it_may(wait: str) -> None:
    """Wherever it waits; one at the engine is told when that looks at it."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("a")
            go = await WAITS[wait](rig)
            told = Told()
            begin(rig, told, within_s=0 if wait == "engine" else 0.02)
            if wait == "engine":
                await go()
            assert await told.kinds() == [DeadlineExceeded]
            if wait != "engine":
                await go()
            before = 1 if wait == "turn" else 0
            assert sums(await rig.step("a", 1, position=before)) == [before + 1]

    play(scenario)


def test_a_refusal_is_told_later_and_passes_the_turn_on() -> None:
    """Of a step that cannot be read, and of one whose position is wrong."""

    async def scenario() -> None:
        async with Rig() as rig:
            await rig.open("a")
            unread, wrong = Told(), Told()

            def read(_: LoadedModel) -> Step:
                raise InvalidRequest("nobody can read that")

            rig.sessions.begin(("", "a"), read, time.monotonic() + PATIENCE_S, unread)
            assert unread.outcomes == []
            begin(rig, wrong, position=7)
            assert await unread.kinds() == [InvalidRequest]
            assert await wrong.kinds() == [PositionConflict]
            assert sums(await rig.step("a", 1)) == [1]

    play(scenario)


def test_on_a_shared_store_a_body_is_read_again_before_it_is_refused() -> None:
    """What the session in memory is, is no ground for a refusal: the store is asked once, and the
    body read for the model that it names; then the refusal stands.
    """

    async def scenario() -> None:
        async with Rig(store=FaultyStore(shared=True)) as rig:
            await rig.open("a")
            await rig.step("a", 1)
            rig.store.loads.clear()
            told = Told()
            num_read = 0

            def read(_: LoadedModel) -> Step:
                nonlocal num_read
                num_read += 1
                raise InvalidRequest("nobody can read that")

            rig.sessions.begin(("", "a"), read, time.monotonic() + PATIENCE_S, told)
            assert await told.kinds() == [InvalidRequest]
            assert (num_read, rig.store.loads) == (2, ["a"])

    play(scenario)
