"""Several runs of one model at once: what goes beside what, and what stays as it was."""

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from carousel.models.row import Array
from carousel.service.engine.engine import Engine, Result
from carousel.service.errors import CarouselError, ModelUnavailable
from tests.harness.fakes import PATIENCE_S, NanSlots, WitnessBackend
from tests.harness.rig import play, sequence, witness_engine

# A row that begins with this waits in its run.
HELD, POISON, FATAL = 5.0, -777.0, -999.0


class _Gate(WitnessBackend):
    """Runs that have a row which begins with HELD wait inside until `go`; no other does."""

    def __init__(self) -> None:
        super().__init__()
        self.held = threading.Semaphore(0)
        self.open = threading.Event()
        self.most = 0  # runs that were inside at once
        self._inside = 0
        self._lock = threading.Lock()

    def run(
        self, inputs: Mapping[str, Array], states: Sequence[Array], lengths: npt.NDArray[np.int32]
    ) -> tuple[list[Array], list[Array]]:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        if (inputs["x"][:, 0] == HELD).any():
            self.held.release()
            assert self.open.wait(PATIENCE_S), "nobody let the run go on"
        with self._lock:
            self._inside -= 1
        return super().run(inputs, states, lengths)

    async def holds(self) -> None:
        """Wait until one more run waits inside."""
        assert await asyncio.to_thread(self.held.acquire, timeout=PATIENCE_S), "no run waits"


def _infer(engine: Engine, *values: float) -> "asyncio.Task[Result]":
    work = engine.infer({"x": sequence(*values)}, len(values), deadline=time.monotonic() + 10)
    return asyncio.ensure_future(work)


def _sums(result: Result) -> list[float]:
    return [float(each) for each in result.outputs["output"][:, 0]]


def test_a_single_step_goes_beside_a_long_run() -> None:
    """While a lane is in a sequence, steps are answered by another."""

    async def scenario() -> None:
        gate = _Gate()
        engine = witness_engine(gate, lanes=2)
        engine.start()
        long = _infer(engine, HELD, 1, 2)
        await gate.holds()
        steps = [_sums(await _infer(engine, value)) for value in (3, 4)]
        assert steps == [[3], [4]]
        assert not long.done()
        gate.open.set()
        assert _sums(await long) == [5, 6, 8]
        await engine.stop()

    play(scenario)


def test_a_later_run_may_end_first() -> None:
    """Two runs of sequences at once, the second answered before the first, and every slot back."""

    async def scenario() -> None:
        gate = _Gate()
        engine = witness_engine(gate, lanes=2, max_rows=2)
        engine.start()
        first = [_infer(engine, HELD, 1), _infer(engine, HELD, 2)]
        await gate.holds()
        second = [_infer(engine, 7, 1), _infer(engine, 8, 2)]
        assert [_sums(await each) for each in second] == [[7, 8], [8, 10]]
        assert not any(each.done() for each in first)
        gate.open.set()
        assert [_sums(await each) for each in first] == [[5, 6], [5, 7]]
        assert isinstance(engine.slots, NanSlots)
        assert engine.slots.taken == set()
        await engine.stop()

    play(scenario)


def test_a_few_rows_wait_for_the_run_of_their_kind() -> None:
    """Beside a run of four sequences a second begins for as many, and not for fewer."""

    async def scenario() -> None:
        gate = _Gate()
        engine = witness_engine(gate, lanes=2, max_rows=8)
        engine.start()
        held = [_infer(engine, HELD, 1) for _ in range(4)]
        await gate.holds()
        few = [_infer(engine, 1, 1) for _ in range(3)]
        assert _sums(await _infer(engine, 2)) == [2]
        assert not any(each.done() for each in few)
        await asyncio.gather(*few, _infer(engine, 1, 1))
        assert not any(each.done() for each in held)
        gate.open.set()
        await asyncio.gather(*held)
        assert sorted(gate.batches) == [(1, 1), (4, 2), (4, 2)]
        await engine.stop()

    play(scenario)


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_no_more_runs_than_lanes(lanes: int) -> None:
    """However much waits, as many runs are under way as there are lanes."""

    async def scenario() -> None:
        gate = _Gate()
        engine = witness_engine(gate, lanes=lanes, max_rows=1)
        engine.start()
        waiting = [_infer(engine, HELD, value) for value in range(6)]
        for _ in range(lanes):
            await gate.holds()
        gate.open.set()
        assert [_sums(await each) for each in waiting] == [[5, 5 + value] for value in range(6)]
        assert gate.most == lanes
        await engine.stop()

    play(scenario)


def test_a_row_at_fault_costs_its_owner_alone() -> None:
    """A batch that fails on a lane is halved until the row stands alone; its neighbours run."""

    async def scenario() -> None:
        engine = witness_engine(lanes=2)
        engine.start()
        found = await asyncio.gather(
            *(_infer(engine, value) for value in (1, POISON, 2)), return_exceptions=True
        )
        assert [_sums(each) for each in (found[0], found[2]) if isinstance(each, Result)] == [
            [1],
            [2],
        ]
        assert isinstance(found[1], CarouselError)
        await engine.stop()

    play(scenario)


class _Quitting(WitnessBackend):
    """A program that ends its thread where it sees POISON."""

    def run(
        self, inputs: Mapping[str, Array], states: Sequence[Array], lengths: npt.NDArray[np.int32]
    ) -> tuple[list[Array], list[Array]]:
        if (inputs["x"] == POISON).any():
            raise SystemExit(3)
        return super().run(inputs, states, lengths)


def test_no_program_takes_a_lane_with_it() -> None:
    """What would end the thread is the row's fault, as often as it comes."""

    async def scenario() -> None:
        engine = witness_engine(_Quitting(), lanes=2)
        engine.start()
        for _ in range(4):
            found = await asyncio.gather(
                _infer(engine, 1), _infer(engine, POISON), return_exceptions=True
            )
            assert isinstance(found[0], Result)
            assert isinstance(found[1], CarouselError)
        await engine.stop()

    play(scenario)


def test_a_lost_device_ends_what_is_under_way() -> None:
    """All that wait are told, also those whose run is on another lane; nothing hangs at the end."""

    async def scenario() -> None:
        gate = _Gate()
        engine = witness_engine(gate, lanes=2)
        engine.start()
        held = _infer(engine, HELD, 1)
        await gate.holds()
        with pytest.raises(ModelUnavailable):
            await _infer(engine, FATAL)
        with pytest.raises(ModelUnavailable):
            await held
        gate.open.set()
        await engine.stop()

    play(scenario)


def test_lanes_end_with_the_engine() -> None:
    """A model that is no longer served leaves no thread behind."""
    before = set(threading.enumerate())

    async def scenario() -> None:
        engine = witness_engine(lanes=3)
        engine.start()
        lanes = set(threading.enumerate()) - before
        assert sum("lane of" in each.name for each in lanes) == 3
        await _infer(engine, 1)
        await engine.stop()
        for each in lanes:
            if "lane of" in each.name:
                await asyncio.to_thread(each.join, PATIENCE_S)
                assert not each.is_alive()

    play(scenario)
