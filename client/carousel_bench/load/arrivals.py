"""When requests of an open loop are due: a Poisson process. Pure.

Users who do not know of each other arrive like this: the times between two are exponential. What
is due does not wait until a session is free; what is not taken yet stays due since its own time. So
the latency of a request that had to wait counts from when it was due, and a server that stands
still for a second is seen by all who came meanwhile ("coordinated omission", Gil Tene, and wrk2).
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_AT_ONCE = 4096


class Arrivals:
    """Due times, in seconds from the begin; `next` is the first that was not taken."""

    def __init__(self, rate: float, seed: int) -> None:
        self._mean_s = 1 / rate
        self._rng = np.random.default_rng(seed)
        self._drawn: Iterator[float] = iter(())
        self._last = 0.0
        self.next = 0.0
        self._advance()

    def __repr__(self) -> str:
        return f"<Arrivals rate={1 / self._mean_s:g} next={self.next:.6f}>"

    def take(self) -> float:
        """When the next request is due."""
        due = self.next
        self._advance()
        return due

    def rest(self, until: float) -> Iterator[npt.NDArray[np.float64]]:
        """Take all that are due before a time, many at once."""
        while self.next < until:
            times = np.array([self.next, *self._drawn])
            before = times[times < until]
            yield before
            self._drawn = iter(times[len(before) :].tolist())
            self._advance()

    def _advance(self) -> None:
        found = next(self._drawn, None)
        if found is None:
            times = self._last + np.cumsum(self._rng.exponential(self._mean_s, _AT_ONCE))
            self._last = float(times[-1])
            self._drawn = iter(times.tolist())
            found = next(self._drawn)
        self.next = found
