"""Medians within a share of the time there is."""

import time
from collections.abc import Callable
from statistics import median

# TorchScript is compiled in the first runs of a shape.
_WARM_UP = 10
_FEWEST = 10


class Stopwatch:
    """Times calls for `slice_s` seconds each, and knows when the whole time is over."""

    def __init__(self, total_s: float, slice_s: float) -> None:
        self._slice_s = slice_s
        self._ends = time.monotonic() + total_s

    def __repr__(self) -> str:
        return f"<Stopwatch left_s={self.left_s:.1f}>"

    @property
    def left_s(self) -> float:
        """Seconds that are left of the whole."""
        return self._ends - time.monotonic()

    def median_us(self, prepare: Callable[[], Callable[[], object]]) -> float:
        """Median microseconds of what `prepare` returns, made anew for each call."""
        for _ in range(_WARM_UP):
            prepare()()
        times: list[float] = []
        ends = time.monotonic() + self._slice_s
        while len(times) < _FEWEST or time.monotonic() < ends:
            run = prepare()
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        return median(times) * 1e6
