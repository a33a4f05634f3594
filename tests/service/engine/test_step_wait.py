"""How long a step would wait is told from how many wait and how fast they go, by made up times."""

import asyncio
import time

import pytest

from carousel.service.engine.engine import Engine
from carousel.service.engine.request import Request
from carousel.service.engine.step_wait import StepWait
from carousel.service.errors import QueueFull
from tests.harness.fakes import WitnessBackend
from tests.harness.rig import play, sequence, until, witness_engine


def _keep_up(wait: StepWait, step_s: float, num_waiting: int, now: float = 0.0) -> float:
    """A queue of so many, each batch of ten answered in ten times `step_s`, for a while."""
    while wait.num_waiting < num_waiting:
        wait.came(now)
    for _ in range(500):
        now += 10 * step_s
        wait.answered(10, now)
        for _ in range(10):
            wait.came(now)
    return now


def test_it_is_as_long_as_those_before_take() -> None:
    """Three hundred that wait at a millisecond each are 0.3 s."""
    wait = StepWait(0.1, 0)
    _keep_up(wait, 0.001, 300)
    assert wait.seconds == pytest.approx(0.3, rel=0.05)
    assert wait.is_too_long
    wait.answered(250, 100.0)
    assert wait.num_waiting == 50


def test_a_few_may_wait_whatever_it_takes() -> None:
    """A slow model is not refused its full batches."""
    wait = StepWait(0.1, 512)
    _keep_up(wait, 0.01, 300)
    assert wait.seconds > 1
    assert not wait.is_too_long
    _keep_up(wait, 0.01, 600)
    assert wait.is_too_long


def test_without_a_bound_nothing_is_too_long() -> None:
    """Nor before anything was answered: nothing is known then."""
    wait = StepWait(0.0, 0)
    _keep_up(wait, 1.0, 10_000)
    assert not wait.is_too_long
    fresh = StepWait(0.001, 0)
    for _ in range(10_000):
        fresh.came(0.0)
    assert not fresh.is_too_long


def test_time_in_which_nobody_waits_counts_for_nothing() -> None:
    """An idle hour does not make a step an hour long."""
    wait = StepWait(0.1, 0)
    now = _keep_up(wait, 0.001, 10)
    wait.answered(10, now + 0.01)
    wait.came(now + 3600)
    wait.answered(1, now + 3600.001)
    for _ in range(50):
        wait.came(now + 3601)
    assert wait.seconds == pytest.approx(0.05, rel=0.05)


def test_a_model_that_became_slow_is_noticed_within_a_few_batches() -> None:
    """Ten batches of 64 at ten times the time move the rate most of the way."""
    wait = StepWait(0.1, 0)
    now = _keep_up(wait, 0.0001, 100)
    for _ in range(10):
        for _ in range(64):
            wait.came(now)
        now += 64 * 0.001
        wait.answered(64, now)
    assert wait.seconds / wait.num_waiting > 0.0008


async def _steps(engine: Engine, count: int) -> int:
    """Queue steps of sessions; how many were refused."""
    refused = 0
    for _ in range(count):
        request = Request({"x": sequence(1)}, 1, time.monotonic() + 10, ticket=object())
        try:
            engine.enqueue(request)
        except QueueFull:
            refused += 1
    return refused


def test_an_engine_that_is_behind_refuses_steps_and_nothing_else() -> None:
    """Steps that would wait too long; a sequence is taken, and steps again in the end."""

    async def scenario() -> None:
        backend = WitnessBackend()
        engine = witness_engine(backend, num_slots=400, max_rows=4, max_wait_s=1e-9, lanes=0)
        engine.start()
        assert await _steps(engine, 8) == 0
        await until(lambda: engine.num_pending == 0)
        backend.hold()
        # Two batches may wait, whatever it takes.
        assert await _steps(engine, 20) == 12
        await backend.entered()
        whole = asyncio.ensure_future(
            engine.infer({"x": sequence(1, 2)}, 2, deadline=time.monotonic() + 10)
        )
        await asyncio.sleep(0)
        backend.go()
        assert (await whole).outputs["output"][-1, 0] == 3
        await until(lambda: engine.num_pending == 0)
        assert await _steps(engine, 8) == 0
        await engine.stop()

    play(scenario)
