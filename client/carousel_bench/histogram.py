"""Latencies, counted in narrow buckets, so that those of several processes add up to percentiles.

Percentiles of percentiles mean nothing: what processes and seconds have to say of each other is
added up bucket by bucket. A bucket is 1 % wide, so a percentile is right within 0.5 %, and the
largest value exact, as in HdrHistogram (https://github.com/HdrHistogram/HdrHistogram).
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

_LEAST_S = 1e-6
_WIDTH = math.log(1.01)


class Histogram:
    """How often each latency came; seconds. What is below a microsecond counts as that."""

    __slots__ = ("_counts", "count", "largest")

    def __init__(self, values: npt.ArrayLike = ()) -> None:
        self._counts: Counter[int] = Counter()
        self.count = 0
        self.largest = 0.0
        self.add(values)

    def __repr__(self) -> str:
        return f"<Histogram count={self.count} largest={self.largest:.6f}>"

    def add(self, values: npt.ArrayLike) -> None:
        """Count these too."""
        array: npt.NDArray[Any] = np.asarray(values, np.float64)
        if array.size:
            logs = np.log(np.maximum(array, _LEAST_S) / _LEAST_S) / _WIDTH
            buckets, counts = np.unique(logs.astype(np.int64), return_counts=True)
            self._counts.update(dict(zip(buckets.tolist(), counts.tolist(), strict=True)))
            self.count += array.size
            self.largest = max(self.largest, float(array.max()))

    def merge(self, other: "Histogram") -> None:
        """Count what another has counted."""
        self._counts.update(other._counts)
        self.count += other.count
        self.largest = max(self.largest, other.largest)

    def percentile(self, percent: float) -> float | None:
        """The smallest latency that so many percent of all do not exceed; None without any."""
        rank = max(1, math.ceil(self.count * percent / 100))
        if self.count == 0 or rank == self.count:
            return self.largest if self.count else None
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= rank:
                return min(_LEAST_S * math.exp((bucket + 0.5) * _WIDTH), self.largest)
        raise AssertionError("buckets hold all that was counted")


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """All of them as one."""
    total = Histogram()
    for each in histograms:
        total.merge(each)
    return total
