"""The scheduler decides which rows run together; no engine, no clock, no arrays that matter."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.service.engine.chunk_budget import ChunkBudget
from carousel.service.engine.request import Abandoned, Request
from carousel.service.engine.run_memory import RunMemory
from carousel.service.engine.scheduler import Limits, Row, Scheduler
from carousel.service.errors import DeadlineExceeded
from tests.harness.scheduling import make_request, make_scheduler


def _run(scheduler: Scheduler, now: float = 0.0) -> list[Row]:
    """One batch, from schedule to update."""
    rows = scheduler.schedule(now).rows
    scheduler.update(rows, 0.0001)
    return rows


def test_single_steps_never_share_a_run_with_chunks() -> None:
    """A batch holds single steps alone or chunks alone."""
    scheduler = make_scheduler()
    scheduler.add([make_request(n) for n in (1, 40, 1, 30, 1)])

    kinds = []
    while not scheduler.is_idle:
        kinds.append({row.length == 1 for row in _run(scheduler)})

    assert all(len(kind) == 1 for kind in kinds)


def test_a_thousand_steps_do_not_hold_up_a_single_one() -> None:
    """A single step that comes while a long sequence runs is in the very next batch."""
    scheduler = make_scheduler()
    long = make_request(1000)
    scheduler.add([long])
    _run(scheduler)
    single = make_request(1)
    scheduler.add([single])

    batches = [_run(scheduler), _run(scheduler)]

    assert single in [row.request for rows in batches for row in rows]
    assert long.remaining > 0


def test_single_steps_do_not_starve_long_sequences() -> None:
    """A long sequence ends although every batch finds new single steps waiting."""
    scheduler = make_scheduler(max_rows=2)
    long = make_request(64)
    scheduler.add([long])

    for _ in range(40):
        scheduler.add([make_request(1) for _ in range(4)])
        _run(scheduler)

    assert long.remaining == 0


def test_long_sequences_do_not_starve_single_steps() -> None:
    """Single steps are served although every batch finds new long sequences waiting."""
    scheduler = make_scheduler(max_rows=2)
    singles = [make_request(1) for _ in range(8)]
    scheduler.add(singles)

    for _ in range(20):
        scheduler.add([make_request(50) for _ in range(4)])
        _run(scheduler)

    assert all(single.remaining == 0 for single in singles)


def test_a_sequence_that_fits_no_neighbour_is_not_passed_over() -> None:
    """The head of a line always runs, however many newcomers would fit each other better."""
    scheduler = make_scheduler(mixed_lengths=False)
    odd = make_request(7)
    scheduler.add([make_request(5), odd])

    for _ in range(3):
        scheduler.add([make_request(5) for _ in range(8)])
        _run(scheduler)

    assert odd.done_steps > 0


def test_padding_stays_under_a_quarter() -> None:
    """Rows of mixed lengths share a run only where the shortest fills three quarters of it."""
    scheduler = make_scheduler()
    scheduler.add([make_request(n) for n in (16, 15, 12, 11, 2)])

    rows = scheduler.schedule(0.0).rows

    assert [row.length for row in rows] == [16, 15, 12]


def test_programs_of_equal_length_get_equal_lengths() -> None:
    """A program that is not exact on padded rows never sees one."""
    scheduler = make_scheduler(mixed_lengths=False)
    scheduler.add([make_request(n) for n in (5, 6, 5, 6, 9, 5)])

    batches = []
    while not scheduler.is_idle:
        batches.append([row.length for row in _run(scheduler)])

    assert sorted(batches) == [[5, 5, 5], [6, 6], [9]]


def test_a_run_never_has_more_rows_than_the_program_takes() -> None:
    """A model without a batch axis runs its requests one by one, in the order they came."""
    scheduler = make_scheduler(max_rows=1)
    requests = [make_request(n) for n in (1, 1, 1)]
    scheduler.add(requests)

    ran = [_run(scheduler) for _ in range(3)]

    assert [[row.request for row in rows] for rows in ran] == [[each] for each in requests]


def test_whole_sequences_are_never_cut() -> None:
    """A model that cannot be streamed gets its sequences in one piece, however long."""
    scheduler = make_scheduler(chunked=False)
    scheduler.add([make_request(5000)])

    assert [row.length for row in scheduler.schedule(0.0).rows] == [5000]


def test_rows_that_would_take_too_much_memory_together_run_apart() -> None:
    """Of three sequences of 4 steps, where a run may hold 10 steps in all, two share a run; one
    longer than that could never run, and only one that may be cut is of any length.
    """
    memory = RunMemory(row_bytes=0, step_bytes=1, most=10)
    cut, whole = (
        Limits(max_rows=8, max_run_steps=None, chunked=each, mixed_lengths=True, memory=memory)
        for each in (True, False)
    )
    scheduler = Scheduler(whole, ChunkBudget(0.005))
    scheduler.add([make_request(4) for _ in range(3)])

    assert [[row.length for row in _run(scheduler)] for _ in range(2)] == [[4, 4], [4]]
    assert (cut.max_whole_steps, whole.max_whole_steps) == (None, 10)


def test_frames_run_one_at_a_time_and_share_runs() -> None:
    """A model of single frames runs sequences of any length side by side, a frame a run."""
    scheduler = make_scheduler(max_run_steps=1)
    scheduler.add([make_request(n) for n in (3, 1, 2)])

    assert [[row.length for row in _run(scheduler)] for _ in range(3)] == [[1, 1, 1], [1, 1], [1]]


def test_a_program_of_fixed_steps_gets_no_longer_run() -> None:
    """No run is longer than the program's own limit."""
    scheduler = make_scheduler(max_run_steps=4)
    scheduler.add([make_request(10)])

    assert [_run(scheduler)[0].length for _ in range(3)] == [4, 4, 2]


@pytest.mark.parametrize("num_steps", [1, 30])
def test_a_deadline_that_passed_before_the_start_drops_the_request(num_steps: int) -> None:
    """A late request is answered DeadlineExceeded and no step of it runs; its neighbour runs."""
    scheduler = make_scheduler()
    late, well = make_request(num_steps, deadline=5.0), make_request(num_steps)
    scheduler.add([late, well])

    schedule = scheduler.schedule(5.1)

    assert schedule.dropped == [late]
    assert isinstance(late.error, DeadlineExceeded)
    assert late.done_steps == 0
    assert [row.request for row in schedule.rows] == [well]


def test_a_request_that_has_begun_outlives_its_deadline_and_its_client() -> None:
    """What has started is finished: neither its deadline nor its client's leaving stops it."""
    scheduler = make_scheduler()
    request = make_request(40, deadline=5.0)
    scheduler.add([request])
    _run(scheduler, now=4.0)
    request.abandoned = True

    while not scheduler.is_idle:
        _run(scheduler, now=9.0)

    assert request.remaining == 0
    assert request.error is None


def test_an_abandoned_request_is_dropped_before_it_runs() -> None:
    """A client that left before its request ran costs no run."""
    scheduler = make_scheduler()
    request = make_request(1)
    request.abandoned = True
    scheduler.add([request])

    schedule = scheduler.schedule(0.0)

    assert (schedule.rows, schedule.dropped) == ([], [request])
    assert isinstance(request.error, Abandoned)
    assert scheduler.is_idle


def test_a_failed_row_leaves_the_queue() -> None:
    """A sequence that failed in a chunk is finished; the rest of it does not run."""
    scheduler = make_scheduler()
    request = make_request(100)
    scheduler.add([request])
    rows = scheduler.schedule(0.0).rows
    request.error = RuntimeError("this chunk failed")

    assert scheduler.update(rows, 0.001) == [request]
    assert scheduler.is_idle


@settings(max_examples=60, deadline=None)
@given(
    arrivals=st.lists(st.lists(st.integers(1, 60), max_size=5), max_size=12),
    max_rows=st.integers(1, 5),
    max_run_steps=st.sampled_from([None, 1, 4]),
    mixed_lengths=st.booleans(),
)
def test_every_time_step_runs_once_and_in_order(
    arrivals: list[list[int]], max_rows: int, max_run_steps: int | None, mixed_lengths: bool
) -> None:
    """Whatever comes and when: each request's steps run once, in order, one row of it a batch."""
    scheduler = make_scheduler(
        max_rows=max_rows, max_run_steps=max_run_steps, mixed_lengths=mixed_lengths
    )
    reached: dict[Request, int] = {}
    finished: list[Request] = []
    pending = list(arrivals)
    while pending or not scheduler.is_idle:
        for num_steps in pending.pop() if pending else ():
            request = make_request(num_steps)
            reached[request] = 0
            scheduler.add([request])
        rows = scheduler.schedule(0.0).rows
        assert len(rows) <= max_rows
        assert len({row.request for row in rows}) == len(rows)
        for row in rows:
            assert row.start == reached[row.request]
            reached[row.request] += row.length
        finished += scheduler.update(rows, 0.001)

    assert len(finished) == len(reached)
    assert all(steps == request.num_steps for request, steps in reached.items())
