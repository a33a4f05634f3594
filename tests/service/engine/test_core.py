"""One step of the core is one batch; here it runs on this thread, with the witness as program."""

import numpy as np
import pytest

from carousel.models.row import Array
from carousel.service.backends.base import DeviceFailed
from carousel.service.backends.numpy_pool import NumpyPool
from carousel.service.engine.chunk_budget import ChunkBudget
from carousel.service.engine.core import Core
from carousel.service.engine.request import NO_SLOT, Request
from carousel.service.engine.scheduler import Limits, Scheduler
from carousel.service.errors import BackendFailed, NonFiniteState
from tests.harness.fakes import WITNESS, FlakyPool, WitnessBackend
from tests.harness.rig import LAYOUT, sequence

POISON = -777.0
SOON = 100.0


class _Bench:
    """A core, its pool full of NaN, and a hand that gives out slots."""

    def __init__(self, *, pool: NumpyPool | None = None, max_rows: int = 64) -> None:
        self.backend = WitnessBackend()
        self.pool = pool if pool is not None else self.backend.make_pool(64)
        nan = np.full(LAYOUT.nbytes // 4, np.nan, np.float32).tobytes()
        for slot in range(self.pool.num_slots):
            self.pool.write(slot, nan)
        limits = Limits(max_rows=max_rows, max_run_steps=None, chunked=True, mixed_lengths=True)
        scheduler = Scheduler(limits, ChunkBudget(0.005))
        zeros = bytes(LAYOUT.nbytes)
        self.core = Core(
            WITNESS, self.backend, self.pool, scheduler, initial_row=zeros, clock=lambda: 0.0
        )
        self._next = 0

    def request(
        self,
        *values: float,
        source: int = NO_SLOT,
        state: bytes | None = None,
        wants_state: bool = True,
    ) -> Request:
        request = Request(
            {"x": sequence(*values)},
            len(values),
            SOON,
            state=state,
            source=source,
            target=self._next,
            wants_state=wants_state,
        )
        self._next += 1
        return request

    def run(self, *requests: Request) -> list[Request]:
        """Run these to their end; returns them in the order they finished."""
        self.core.scheduler.add(requests)
        finished = self.core.step()
        while not self.core.scheduler.is_idle:
            finished += self.core.step()
        return finished

    def slot(self, number: int) -> float:
        """The running sum in a slot."""
        return float(self.pool.unpack(self.pool.gather([number]))[0][0, 0, 0])


def _sums(request: Request) -> list[float]:
    return [float(value) for value in request.outputs["output"][:, 0]]


def _row(total: float) -> bytes:
    return LAYOUT.pack({"h": np.full((1, 2), total, np.float32)})


def test_a_step_reads_its_slot_and_writes_a_fresh_one() -> None:
    """The old slot stays as it was, so that nothing has to be undone."""
    bench = _Bench()
    first = bench.request(3)
    bench.run(first)
    second = bench.request(4, source=first.target)
    bench.run(second)

    assert (_sums(second), bench.slot(first.target), bench.slot(second.target)) == ([7], 3, 7)


def test_each_run_is_counted_with_its_rows_and_time_steps() -> None:
    """Two sequences of 2 steps in one run, then a single step: what /metrics tells."""
    bench = _Bench()
    bench.run(bench.request(1, 1), bench.request(2, 2))
    bench.run(bench.request(3))

    stats = bench.core.stats
    assert (stats.batches, stats.rows, stats.steps, stats.failures) == (2, 3, 5, 0)


def test_a_request_without_a_slot_starts_where_it_says() -> None:
    """From a row it brings, or from initial values; what was in its slot before is never seen."""
    bench = _Bench()
    fresh, brought = bench.request(1, 1), bench.request(1, 1, state=_row(10))
    bench.run(fresh, brought)

    assert (_sums(fresh), _sums(brought)) == ([1, 2], [11, 12])


@pytest.mark.parametrize("at_fault", [0, 3, 6])
def test_a_failing_row_leaves_its_neighbours_served(at_fault: int) -> None:
    """The row at fault is found by halving and gets the error; all others have right sums."""
    bench = _Bench()
    requests = [
        bench.request(POISON if index == at_fault else index, state=_row(100)) for index in range(7)
    ]
    finished = bench.run(*requests)

    assert len(finished) == 7
    for index, request in enumerate(requests):
        if index == at_fault:
            assert isinstance(request.error, BackendFailed)
        else:
            assert request.error is None
            assert _sums(request) == [100 + index]
            assert bench.slot(request.target) == 100 + index


def test_a_row_that_fails_late_leaves_where_it_started() -> None:
    """A failure in a late chunk is the whole request's, and its source slot is untouched."""
    bench = _Bench()
    start = bench.request(5)
    bench.run(start)
    late = bench.request(*[1] * 99, POISON, source=start.target)
    neighbour = bench.request(*[1] * 100, source=NO_SLOT)
    bench.run(late, neighbour)

    assert isinstance(late.error, BackendFailed)
    assert late.outputs == {}
    assert bench.slot(start.target) == 5
    assert _sums(neighbour) == list(range(1, 101))


def test_chunks_equal_the_whole() -> None:
    """A long sequence that ran in chunks has the outputs and state of one run."""
    bench = _Bench()
    values = [float(value % 7) for value in range(300)]
    request = bench.request(*values, state=_row(2))
    bench.run(request)

    assert len(bench.backend.batches) > 1
    assert _sums(request) == list(2 + np.cumsum(values))
    assert request.state_out == _row(2 + sum(values))


def test_a_state_that_is_not_finite_is_refused_alone() -> None:
    """The row that would be poisoned is refused; the neighbour in its batch is not."""
    bench = _Bench()
    bad = bench.request(3e38, state=_row(3e38))
    good = bench.request(1, state=_row(1))
    bench.run(bad, good)

    assert isinstance(bad.error, NonFiniteState)
    assert (good.error, _sums(good)) == (None, [2])


def test_padding_touches_no_state() -> None:
    """Of rows of mixed lengths each ends with the state of its own last step."""
    bench = _Bench()
    requests = [bench.request(*[2] * length) for length in (16, 15, 13, 12)]
    bench.run(*requests)

    assert bench.backend.batches[0] == (4, 16)
    assert [_sums(each)[-1] for each in requests] == [32, 30, 26, 24]
    assert [bench.slot(each.target) for each in requests] == [32, 30, 26, 24]
    assert [len(_sums(each)) for each in requests] == [16, 15, 13, 12]


def test_a_lost_device_is_no_fault_of_a_row() -> None:
    """DeviceFailed goes up; it is not looked for by halving, and no row is blamed."""
    bench = _Bench()
    requests = [bench.request(value) for value in (1.0, -999.0, 2.0)]
    bench.core.scheduler.add(requests)

    with pytest.raises(DeviceFailed):
        bench.core.step()
    assert len(bench.backend.batches) == 1
    assert [each.error for each in requests] == [None, None, None]


def test_the_host_gets_copies_only_of_states_that_are_wanted() -> None:
    """A request that is neither committed nor asked for its state brings none back."""
    bench = _Bench()
    wanted, unwanted = bench.request(1), bench.request(2, wants_state=False)
    bench.run(wanted, unwanted)

    assert wanted.state_out == _row(1)
    assert unwanted.state_out is None


def test_a_copy_that_fails_advances_no_row_twice() -> None:
    """When the copies of states fail, rows are run again from where they were: right sums still."""
    pool = FlakyPool(WITNESS, LAYOUT, 8)
    bench = _Bench(pool=pool)
    requests = [bench.request(*[1] * 20), bench.request(*[1] * 19)]
    bench.core.scheduler.add(requests)
    bench.core.step()  # the first chunk of each: their own slots hold the state from here on
    pool.failing = True
    bench.run()

    assert _sums(requests[0]) == list(range(1, 21))
    assert _sums(requests[1]) == list(range(1, 20))
    assert [bench.slot(each.target) for each in requests] == [20, 19]


def test_outputs_are_not_shared_between_neighbours() -> None:
    """Two rows of one batch get outputs of their own length and place."""
    bench = _Bench()
    requests = [bench.request(value) for value in (1.0, 2.0, 3.0)]
    bench.run(*requests)

    outputs: list[Array] = [each.outputs["output"] for each in requests]
    assert [each.shape for each in outputs] == [(1, 2)] * 3
    assert [each[0, 0] for each in outputs] == [1, 2, 3]
