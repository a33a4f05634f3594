"""Runs beside each other, and how long and how large they are by what waits."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carousel.service.engine.pace import Pace
from carousel.service.engine.request import Request
from carousel.service.engine.scheduler import Row
from tests.harness.scheduling import BY_ROWS, FLAT, make_request, make_scheduler


def test_runs_are_small_where_others_may_go_on_beside_them() -> None:
    """With two lanes a run has a quarter of what there is, single steps and chunks alike, where
    rows cost the same alone.
    """
    scheduler = make_scheduler(max_rows=8, pace=Pace(2, BY_ROWS))
    scheduler.add([make_request(1) for _ in range(12)] + [make_request(9) for _ in range(12)])

    assert [len(scheduler.schedule(0.0).rows) for _ in range(4)] == [3, 3, 3, 3]


def test_beside_a_run_of_its_kind_a_second_begins_for_half_a_run() -> None:
    """Where a run costs the same however many rows it has: beside four rows four more begin, and
    three when those have ended.
    """
    scheduler = make_scheduler(pace=Pace(2, FLAT))
    scheduler.add([make_request(1) for _ in range(4)])
    first = scheduler.schedule(0.0).rows
    assert len(first) == 4
    scheduler.add([make_request(1) for _ in range(3)])
    assert scheduler.schedule(0.0).rows == []
    scheduler.add([make_request(1)])
    second = scheduler.schedule(0.0).rows
    assert len(second) == 4
    scheduler.add([make_request(1) for _ in range(3)])
    scheduler.update(second, 0.001)
    assert scheduler.schedule(0.0).rows == []
    scheduler.update(first, 0.001)
    assert len(scheduler.schedule(0.0).rows) == 3


def test_a_sequence_begins_beside_single_steps() -> None:
    """A run of the one kind holds up none of the other, however few wait."""
    scheduler = make_scheduler(pace=Pace(2, FLAT))
    scheduler.add([make_request(1), make_request(5)])

    assert [len(scheduler.schedule(0.0).rows) for _ in range(3)] == [1, 1, 0]


def test_chunks_are_long_where_no_single_step_comes() -> None:
    """Eight budgets where nobody is served by one; one again as soon as a step has come."""
    scheduler = make_scheduler()
    long, step = make_request(100_000), make_request(1)
    scheduler.add([long])
    lengths = []
    for _ in range(12):
        rows = scheduler.schedule(10.0).rows
        lengths.append(rows[0].length)
        scheduler.update(rows, rows[0].length * 10e-6)
    assert lengths[-1] == pytest.approx(8 * 0.005 / 10e-6, abs=1)

    scheduler.add([step])
    while step.remaining:
        scheduler.update(scheduler.schedule(10.0).rows, 0.001)
    rows = scheduler.schedule(10.9).rows
    assert rows[0].length == pytest.approx(0.005 / 10e-6, abs=1)
    scheduler.update(rows, rows[0].length * 10e-6)
    assert scheduler.schedule(11.1).rows[0].length == pytest.approx(8 * 0.005 / 10e-6, abs=1)


@settings(max_examples=60, deadline=None)
@given(
    arrivals=st.lists(st.lists(st.integers(1, 60), max_size=5), max_size=12),
    rows=st.integers(1, 5),
    order=st.randoms(use_true_random=False),
)
def test_runs_that_end_in_any_order_lose_nothing(
    arrivals: list[list[int]], rows: int, order: Random
) -> None:
    """Three at once, ended as it happens: no request is in two, and each runs once, in order."""
    scheduler = make_scheduler(max_rows=rows, pace=Pace(3, BY_ROWS))
    requests: list[Request] = []
    finished: list[Request] = []
    under_way: list[list[Row]] = []
    pending = list(arrivals)
    while pending or under_way or not scheduler.is_idle:
        if pending:
            fresh = [make_request(num_steps) for num_steps in pending.pop()]
            requests += fresh
            scheduler.add(fresh)
        while len(under_way) < 3 and (begun := scheduler.schedule(0.0).rows):
            under_way.append(begun)
        running = [row.request for each in under_way for row in each]
        assert len(set(running)) == len(running)
        if under_way:
            ended = under_way.pop(order.randrange(len(under_way)))
            assert all(row.start == row.request.done_steps for row in ended)
            finished += scheduler.update(ended, 0.001)

    assert set(finished) == set(requests)
    assert all(request.remaining == 0 for request in requests)
