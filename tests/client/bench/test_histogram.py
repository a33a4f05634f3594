"""Percentiles from buckets, against NumPy's own of all samples."""

import numpy as np
import pytest

from carousel_bench.histogram import Histogram, merged

PERCENTS = (50.0, 90.0, 99.0, 99.9)


def samples(seed: int, count: int = 20_000) -> np.ndarray:
    """Latencies as they are: most short, few long; seconds."""
    return np.random.default_rng(seed).lognormal(-6.0, 1.0, count)


@pytest.mark.parametrize("percent", PERCENTS)
def test_a_percentile_is_right_within_half_a_percent(percent: float) -> None:
    """The bucket that holds it is 1 % wide."""
    values = samples(1)
    exact = np.percentile(values, percent, method="inverted_cdf")
    assert Histogram(values).percentile(percent) == pytest.approx(exact, rel=0.0051)


def test_processes_are_merged_by_what_they_saw() -> None:
    """One that is slow and saw little leaves the percentiles of all where all samples put them;
    the mean of both percentiles is far from there.
    """
    quick, slow = samples(2), 100 * samples(3, 300)
    both = np.concatenate([quick, slow])
    exact = np.percentile(both, 99, method="inverted_cdf")
    found = merged([Histogram(quick), Histogram(slow)]).percentile(99)
    assert found == pytest.approx(exact, rel=0.0051)
    mean = np.mean([np.percentile(each, 99) for each in (quick, slow)])
    assert abs(mean - exact) > 0.5 * exact


def test_the_largest_is_exact() -> None:
    """It is kept beside the buckets, and no percentile is above it."""
    histogram = Histogram([0.001, 0.0123456])
    assert histogram.percentile(100) == 0.0123456
    assert histogram.percentile(99.9) == 0.0123456


def test_nothing_has_no_percentiles() -> None:
    """A dash in the table, not a zero."""
    assert Histogram().percentile(50) is None
