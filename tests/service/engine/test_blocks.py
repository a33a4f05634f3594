"""A block is as many requests as it has rows: the same answers, and each row its own fault."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.models.row import Array
from carousel.service.backends.base import DeviceFailed
from carousel.service.engine.block import Block
from carousel.service.engine.chunk_budget import ChunkBudget
from carousel.service.engine.core import Core
from carousel.service.engine.pace import Pace
from carousel.service.engine.request import NO_SLOT, Abandoned, Request
from carousel.service.engine.scheduler import Limits, Scheduler
from carousel.service.errors import BackendFailed, DeadlineExceeded, NonFiniteState
from tests.harness.fakes import WITNESS, FlakyPool, WitnessBackend
from tests.harness.rig import LAYOUT, sequence

POISON, FATAL, LARGE = -777.0, -999.0, 3e38
SOON = 100.0


def _core(backend: WitnessBackend, pool: FlakyPool, budget_s: float = 0.005) -> Core:
    limits = Limits(max_rows=64, max_run_steps=None, chunked=True, mixed_lengths=True)
    scheduler = Scheduler(limits, ChunkBudget(budget_s), Pace())
    zeros = bytes(LAYOUT.nbytes)
    return Core(WITNESS, backend, pool, scheduler, initial_row=zeros, clock=lambda: 0.0)


class _Bench:
    def __init__(self, num_slots: int = 64) -> None:
        self.backend = WitnessBackend()
        self.pool = FlakyPool(WITNESS, LAYOUT, num_slots)
        self.core = _core(self.backend, self.pool)

    def block(
        self,
        rows: list[list[float]],
        *,
        sources: list[int] | None = None,
        targets: list[int] | None = None,
        states: list[bytes | None] | None = None,
        deadline: float = SOON,
    ) -> Block:
        """Rows of as many numbers each, into slots 0, 1, ... unless others are said."""
        count = len(rows)
        return Block(
            {"x": np.stack([sequence(*values) for values in rows])},
            len(rows[0]),
            deadline,
            commits=True,
            sources=sources or [NO_SLOT] * count,
            targets=targets or list(range(count)),
            states=states or [None] * count,
        )

    def run(self, *requests: Request) -> list[Request]:
        """Run these to their end."""
        self.core.scheduler.add(requests)
        finished = self.core.step()
        while not self.core.scheduler.is_idle:
            finished += self.core.step()
        return finished

    def slot(self, number: int) -> float:
        """The running sum in a slot."""
        return float(self.pool.unpack(self.pool.gather([number]))[0][0, 0, 0])


def _sums(block: Block) -> list[list[float]]:
    found: list[list[float]] = block.outputs["output"][:, :, 0].tolist()
    return found


def _state(total: float) -> bytes:
    return LAYOUT.pack({"h": np.full((1, 2), total, np.float32)})


def _states(block: Block) -> list[float]:
    assert block.states_out is not None
    return [float(LAYOUT.unpack(row.tobytes())["h"][0, 0]) for row in block.states_out]


def test_rows_go_on_from_their_slots_into_fresh_ones() -> None:
    """One run for all; the old slots stay, and the host gets each new state."""
    bench = _Bench()
    first = bench.block([[1], [2], [3]])
    bench.run(first)
    second = bench.block([[10], [20], [30]], sources=[0, 1, 2], targets=[3, 4, 5])
    bench.run(second)

    assert (_sums(first), _sums(second)) == ([[1], [2], [3]], [[11], [22], [33]])
    assert [bench.slot(number) for number in range(6)] == [1, 2, 3, 11, 22, 33]
    assert _states(second) == [11, 22, 33]
    assert bench.backend.batches == [(3, 1), (3, 1)]


def test_rows_without_a_slot_start_from_what_they_bring() -> None:
    """From a row of bytes, from initial values, and from slots, in one block."""
    bench = _Bench()
    bench.run(bench.block([[7]], targets=[9]))
    block = bench.block(
        [[1, 1], [1, 1], [1, 1]], sources=[NO_SLOT, 9, NO_SLOT], states=[_state(100), None, None]
    )
    bench.run(block)

    assert _sums(block) == [[101, 102], [8, 9], [1, 2]]


def test_a_long_block_runs_in_chunks_and_loses_no_step() -> None:
    """Its pieces are joined in time, and its own slots hold the state between them."""
    bench = _Bench()
    block = bench.block([[1] * 100, [2] * 100])
    bench.run(block)

    assert len(bench.backend.batches) > 1
    assert _sums(block) == [list(range(1, 101)), list(range(2, 202, 2))]
    assert _states(block) == [100, 200]


@pytest.mark.parametrize("at_fault", [(0,), (3,), (6,), (0, 6), (2, 3, 4)])
@pytest.mark.parametrize("num_steps", [1, 40])
def test_rows_at_fault_leave_the_others_served(at_fault: tuple[int, ...], num_steps: int) -> None:
    """They are found by halving, also in a late chunk; the others have right sums and states."""
    bench = _Bench()
    rows = [[1.0] * num_steps for _ in range(7)]
    for row in at_fault:
        rows[row][-1] = POISON
    block = bench.block(rows, states=[_state(100)] * 7)
    assert bench.run(block) == [block]

    assert block.error is None
    assert sorted(block.faults) == list(at_fault)
    assert all(isinstance(each, BackendFailed) for each in block.faults.values())
    good = [row for row in range(7) if row not in at_fault]
    assert [_sums(block)[row] for row in good] == [list(range(101, 101 + num_steps))] * len(good)
    assert [_states(block)[row] for row in good] == [100 + num_steps] * len(good)
    assert [bench.slot(row) for row in good] == [100 + num_steps] * len(good)


def test_a_block_of_nothing_but_faults_is_over() -> None:
    """Every row has its own, the block has one too, and no further chunk of it runs."""
    bench = _Bench()
    block = bench.block([[POISON] + [1] * 99, [POISON] + [1] * 99])
    assert bench.run(block) == [block]

    assert sorted(block.faults) == [0, 1]
    assert isinstance(block.error, BackendFailed)
    assert block.remaining > 0


def test_a_state_that_is_not_finite_is_its_rows_fault() -> None:
    """The neighbours go on; the slot that the row started from is as it was."""
    bench = _Bench()
    bench.run(bench.block([[1], [1]], targets=[8, 9], states=[_state(LARGE), None]))
    block = bench.block([[LARGE], [5]], sources=[8, 9])
    bench.run(block)

    assert list(block.faults) == [0]
    assert isinstance(block.faults[0], NonFiniteState)
    assert _sums(block)[1] == [6]
    assert bench.slot(8) == np.float32(LARGE)


def test_copies_that_fail_advance_no_row_twice() -> None:
    """When the states cannot be copied the rows are run again, from where they were."""
    bench = _Bench()
    block = bench.block([[1] * 20, [2] * 20])
    bench.core.scheduler.add([block])
    bench.core.step()  # the first chunk: their own slots hold the state from here on
    bench.pool.failing = True
    bench.run()

    assert _sums(block) == [list(range(1, 21)), list(range(2, 42, 2))]


def test_a_lost_device_is_no_fault_of_a_row() -> None:
    """DeviceFailed goes up, and no row is blamed."""
    bench = _Bench()
    block = bench.block([[1], [FATAL]])
    bench.core.scheduler.add([block])
    with pytest.raises(DeviceFailed):
        bench.core.step()
    assert (block.error, block.faults) == (None, {})


def test_who_left_or_waited_too_long_does_not_run() -> None:
    """A block is dropped whole before it begins, and what is behind it runs in the same turn."""
    bench = _Bench()
    left, late, good = bench.block([[1]]), bench.block([[1]], deadline=-1.0), bench.block([[2]])
    left.abandoned = True
    bench.run(left, late, good)

    assert isinstance(left.error, Abandoned)
    assert isinstance(late.error, DeadlineExceeded)
    assert _sums(good) == [[2]]
    assert bench.backend.batches == [(1, 1)]


def test_blocks_single_steps_and_sequences_take_turns() -> None:
    """None of the three waits for more than one run of each of the others."""
    bench = _Bench()
    blocks = [bench.block([[1], [1]], targets=[2 * n, 2 * n + 1]) for n in range(4)]
    singles = [Request({"x": sequence(1)}, 1, SOON, target=20 + n) for n in range(4)]
    longs = [Request({"x": sequence(*[1] * 9)}, 9, SOON, target=30 + n) for n in range(4)]
    bench.core.scheduler.add([*blocks, *longs, *singles])
    finished = [bench.core.step() for _ in range(3)]

    kinds = [type(each[0]).__name__ + str(each[0].num_steps) for each in finished]
    assert sorted(kinds) == ["Block1", "Request1", "Request9"]


@settings(max_examples=40, deadline=None)
@given(
    data=st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=12),
    faults=st.sets(st.integers(0, 11)),
    starts=st.lists(st.integers(0, 50), min_size=12, max_size=12),
    budget_s=st.sampled_from([1e-9, 0.005]),
)
def test_a_block_answers_as_requests_of_a_row_each(
    data: list[list[int]], faults: set[int], starts: list[int], budget_s: float
) -> None:
    """Whatever is in it: outputs, states and whose fault it is, as the rows by themselves."""
    rows = [[float(value) for value in values] for values in data]
    for row in faults:
        if row < len(rows):
            rows[row][1] = POISON
    bench = _Bench()
    bench.core = _core(bench.backend, bench.pool, budget_s)
    block = bench.block(rows, states=[_state(start) for start in starts[: len(rows)]])
    bench.run(block)
    for row, values in enumerate(rows):
        alone = _Bench()
        request = Request(
            {"x": sequence(*values)}, 3, SOON, state=_state(starts[row]), target=0, commits=True
        )
        alone.run(request)
        if request.error is not None:
            assert type(block.faults.get(row)) is type(request.error)
            continue
        assert row not in block.faults
        _same(block.outputs["output"][row], request.outputs["output"])
        assert block.states_out is not None
        assert block.states_out[row].tobytes() == request.state_out


def _same(found: Array, expected: Array) -> None:
    assert found.tolist() == expected.tolist()
