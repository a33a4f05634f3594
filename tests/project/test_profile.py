"""The profile finds the functions that it times, and its times add up."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.profile.report import bar
from benchmarks.profile.stage_clock import REST, Spent, StageClock, TimerCost
from benchmarks.profile.stages import BOUNDARIES, STAGES, Boundary, wrap


class _Wound:
    """A clock that goes when it is wound."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns

    def wind(self, ns: int) -> None:
        self.ns += ns


@pytest.mark.parametrize("boundary", BOUNDARIES, ids=lambda each: f"{each.module}:{each.name}")
def test_service_has_every_function_that_is_timed(boundary: Boundary) -> None:
    """One that was renamed fails here, and is not silently missing from the profile."""
    _, _, function = boundary.find()
    assert callable(function)
    assert boundary.stage in STAGES


def test_a_function_that_is_gone_is_an_error() -> None:
    """Neither a name that is not there nor one that is only inherited is wrapped."""
    for name in ("Core.nothing", "Core.__init_subclass__"):
        with pytest.raises(AttributeError):
            Boundary("run", "engine.core", name).find()


def test_no_time_counts_twice() -> None:
    """A stage within another has its own time, and the outer one what is left."""
    now = _Wound()
    clock = StageClock(now)
    inner = wrap(clock, "decode", lambda: now.wind(5))

    def outer() -> None:
        now.wind(1)
        inner()
        now.wind(2)
        again()

    again = wrap(clock, "read", lambda: now.wind(10))
    timed = wrap(clock, "read", outer)
    timed()
    now.wind(100)
    timed()
    spent = {name: each.ns for name, each in clock.totals().items()}
    assert spent == {REST: 100, "read": 26, "decode": 10}
    assert sum(spent.values()) == now.ns


def test_a_stage_that_raises_is_left() -> None:
    """What comes behind an error is not the failed stage's."""
    now = _Wound()
    clock = StageClock(now)

    def fail() -> None:
        now.wind(3)
        raise KeyError("no input")

    with pytest.raises(KeyError):
        wrap(clock, "run", fail)()
    now.wind(4)
    wrap(clock, "pack", lambda: None)()
    assert {name: each.ns for name, each in clock.totals().items()} == {
        REST: 4,
        "run": 3,
        "pack": 0,
    }


def test_a_coroutine_s_waits_are_not_its_stage_s() -> None:
    """Only its turns on the loop count, and what it returns and raises comes through."""
    now = _Wound()
    clock = StageClock(now)

    async def work() -> str:
        now.wind(2)
        await asyncio.sleep(0)
        now.wind(3)
        return "done"

    async def other() -> None:
        now.wind(50)

    async def both(timed: Callable[[], Awaitable[str]]) -> str:
        result, _ = await asyncio.gather(timed(), other())
        return result

    assert asyncio.run(both(wrap(clock, "session", work))) == "done"
    spent = {name: each.ns for name, each in clock.totals().items()}
    assert spent == {REST: 50, "session": 5}


def test_timers_are_taken_off_by_their_number() -> None:
    """An entry costs its own stage and the one around it."""
    cost = TimerCost(own_ns=3.0, outer_ns=2.0)
    assert cost.off(Spent(ns=100, entries=4, inner=5)) == 100 - 4 * 3 - 5 * 2


def test_bar_shows_shares() -> None:
    """Half of the time is half of the letters."""
    stages = dict.fromkeys((*STAGES, REST), 0.0) | {"read": 1.0, "write": 0.5, REST: 0.5}
    assert bar(stages) == "r" * 30 + "w" * 15 + "." * 15
