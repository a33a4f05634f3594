"""Refusals are told behind answers: few of them at once, in a storm one for four answers."""

import asyncio
from functools import partial

from carousel.service.engine.turned_away import TurnedAway
from tests.harness.rig import play, settle, until


def test_a_few_are_told_at_once() -> None:
    """In their order, and never before `add` has come back."""

    async def scenario() -> None:
        told: list[int] = []
        away = TurnedAway()
        for number in range(100):
            away.add(partial(told.append, number))
        assert told == []
        await settle()
        assert told == list(range(100))

    play(scenario)


def test_in_a_storm_each_four_answers_let_one_be_told() -> None:
    """Beyond the first, who come behind them in line; answers that come in threes count too."""

    async def scenario() -> None:
        told: list[int] = []
        away = TurnedAway()
        for number in range(1000):
            away.add(partial(told.append, number))
        await settle()
        first = len(told)
        assert first < 500
        for _ in range(40):
            away.answered(3)
        assert told == list(range(first + 30))

    play(scenario)


def test_where_nothing_is_answered_they_are_told_in_time() -> None:
    """A model that hangs keeps nobody waiting for its refusal for ever; each is told once."""

    async def scenario() -> None:
        told: list[int] = []
        away = TurnedAway()
        for number in range(300):
            away.add(partial(told.append, number))
        async with asyncio.timeout(10):
            await until(lambda: len(told) == 300)
        await settle()
        assert told == list(range(300))

    play(scenario)


def test_after_the_storm_they_are_told_at_once_again() -> None:
    """Once more was answered than there are refusals, the next is told in the next turn."""

    async def scenario() -> None:
        told: list[int] = []
        away = TurnedAway()
        for number in range(300):
            away.add(partial(told.append, number))
        await settle()
        away.answered(4000)
        assert len(told) == 300
        away.add(partial(told.append, 300))
        await until(lambda: told[-1] == 300)

    play(scenario)


def test_one_that_cannot_be_told_strands_nobody() -> None:
    """Those behind it are told all the same."""

    async def scenario() -> None:
        told: list[int] = []
        away = TurnedAway()
        for number in range(300):
            away.add(partial(_fail if number == 270 else told.append, number))
        async with asyncio.timeout(10):
            await until(lambda: len(told) == 299)

    play(scenario)


def _fail(number: int) -> None:
    raise OSError(f"{number} has gone")
