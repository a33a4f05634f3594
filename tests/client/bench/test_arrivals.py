"""Arrivals of an open loop: a Poisson process, and nothing of it lost."""

import numpy as np
import pytest

from carousel_bench.load.arrivals import Arrivals


def taken(rate: float, until: float, seed: int = 5) -> np.ndarray:
    """Due times before a time, one by one."""
    arrivals = Arrivals(rate, seed)
    times = []
    while arrivals.next < until:
        times.append(arrivals.take())
    return np.array(times)


def test_they_come_at_the_rate() -> None:
    """Within four standard deviations of a Poisson process, whose variance is its mean."""
    count = len(taken(2000, 50))
    assert abs(count - 100_000) < 4 * np.sqrt(100_000)


def test_the_times_between_are_exponential() -> None:
    """Mean and standard deviation are the same, and 1/e of them are longer than that."""
    between = np.diff(taken(100, 500))
    assert between.mean() == pytest.approx(0.01, rel=0.03)
    assert between.std() == pytest.approx(0.01, rel=0.03)
    assert (between > 0.01).mean() == pytest.approx(np.exp(-1), abs=0.01)


def test_the_rest_is_what_was_not_taken() -> None:
    """One by one or many at once: the same times, each once, and those behind it are still due."""
    arrivals = Arrivals(1000, 5)
    first = [arrivals.take() for _ in range(2500)]
    rest = np.concatenate(list(arrivals.rest(20.0)))
    assert np.array_equal(np.concatenate([first, rest]), taken(1000, 20.0))
    assert arrivals.next >= 20.0
