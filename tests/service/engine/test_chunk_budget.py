"""Chunks are sized by measuring; here the measurements are made up."""

from carousel.service.engine.chunk_budget import ChunkBudget


def _learn(budget: ChunkBudget, num_rows: int, seconds_per_step: float, runs: int = 40) -> None:
    for _ in range(runs):
        steps = budget.steps(num_rows)
        budget.measured(num_rows, steps, steps * seconds_per_step)


def test_chunks_come_to_fill_the_time_budget() -> None:
    """After some runs a chunk takes about the budget: 5 ms at 20 us a step is 250 steps."""
    budget = ChunkBudget(0.005)
    _learn(budget, 1, 20e-6)

    assert 225 <= budget.steps(1) <= 250


def test_a_slow_model_still_gets_one_step() -> None:
    """A model whose single step is beyond the budget runs, one step a chunk."""
    budget = ChunkBudget(0.005)
    _learn(budget, 1, 0.1)

    assert budget.steps(1) == 1


def test_a_chunk_at_most_doubles_from_run_to_run() -> None:
    """One measurement that was too good does not make a chunk that holds up everyone."""
    budget = ChunkBudget(0.005)
    first = budget.steps(1)
    budget.measured(1, first, 1e-9)

    assert budget.steps(1) <= 2 * first


def test_batches_of_another_size_are_learnt_apart() -> None:
    """What one row costs says nothing about what a hundred cost."""
    budget = ChunkBudget(0.005)
    _learn(budget, 100, 0.001)
    _learn(budget, 1, 20e-6)

    assert budget.steps(100) <= 5
    assert budget.steps(1) >= 225


def test_a_model_that_became_slow_gets_shorter_chunks() -> None:
    """The budget follows the machine."""
    budget = ChunkBudget(0.005)
    _learn(budget, 1, 20e-6)
    _learn(budget, 1, 1e-3)

    assert budget.steps(1) <= 6


def test_a_run_too_quick_to_measure_is_no_error() -> None:
    """A clock that did not tick between start and end divides nothing by zero."""
    budget = ChunkBudget(0.005)
    budget.measured(1, 16, 0.0)

    assert budget.steps(1) >= 16
