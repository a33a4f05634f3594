"""What one process counts while the load goes on; the hot path is `done`."""

from array import array
from collections import defaultdict
from collections.abc import Mapping
from math import floor

import numpy as np
import numpy.typing as npt

from carousel_bench.load.work import Refusal
from carousel_bench.tally import Tally

# What asyncio, the kernel and a neighbour on the core may take before it counts as being late.
LATE_S = 0.005


class Recorder:
    """Counts by second; what is before second 0 is warm-up. A reply counts when it came. Its
    latency belongs, in a closed loop, to the same second; in an open one to that in which the
    request was due, as do refusals, errors and what was not sent.
    """

    def __init__(self, num_steps: Mapping[str, int], *, by_due: bool) -> None:
        self._origin = 0.0
        self._num_steps = num_steps
        self._by_due = by_due
        # By kind and second.
        self._latencies = {kind: _seconds() for kind in num_steps}
        self._replies: dict[str, defaultdict[int, int]] = {
            kind: defaultdict(int) for kind in num_steps
        }
        self._tallies: defaultdict[int, Tally] = defaultdict(Tally)

    def __repr__(self) -> str:
        return f"<Recorder {', '.join(self._num_steps)} by {'due' if self._by_due else 'reply'}>"

    def begin(self, origin: float) -> None:
        """When second 0 begins."""
        self._origin = origin

    def done(self, kind: str, due: float, now: float) -> None:
        """A request was answered."""
        second = floor(now - self._origin)
        self._replies[kind][second] += 1
        if self._by_due:
            second = floor(due - self._origin)
        self._latencies[kind][second].append(now - due)

    def refused(self, kind: str, due: float, now: float, refusal: Refusal) -> None:
        """The server said no."""
        tally = self._at(due, now)
        tally.of(kind).refused[refusal.word] += 1
        tally.details.setdefault(refusal.word, refusal.detail)

    def refused_rows(
        self, kind: str, due: float, now: float, words: Mapping[str, int], row_steps: int
    ) -> None:
        """The server said no to rows of a bulk request, each of so many time steps."""
        count = self._at(due, now).of(kind)
        count.refused.update(words)
        count.steps -= sum(words.values()) * row_steps

    def failed(self, kind: str, due: float, now: float, why: str) -> None:
        """No reply came, or none that can be read."""
        self._at(due, now).of(kind).errors[why] += 1

    def given_up(self, kind: str, due: float, now: float) -> None:
        """There was no reply when the run ended; its latency is at least what it has waited."""
        count = self._at(due, now).of(kind)
        count.errors["no answer in time"] += 1
        count.latency.add([now - due])

    def unsent(self, dues: npt.NDArray[np.float64], now: float) -> None:
        """These were due and never sent."""
        seconds = np.floor(dues - self._origin).astype(np.int64)
        for second in np.unique(seconds).tolist():
            waited = now - dues[seconds == second]
            self._tallies[second].unsent += len(waited)
            self._tallies[second].waiting.add(waited)

    def queued(self, due: float, now: float) -> None:
        """One had to wait for a free session."""
        self._at(due, now).queued += 1

    def late(self, due: float, now: float) -> None:
        """One was sent late though a session was free."""
        self._at(due, now).late += 1

    def take(self) -> dict[int, Tally]:
        """What was counted since this was asked last, by second."""
        for kind, seconds in self._latencies.items():
            for second, latencies in seconds.items():
                self._tallies[second].of(kind).latency.add(latencies)
            for second, num in self._replies[kind].items():
                count = self._tallies[second].of(kind)
                count.done += num
                count.steps += num * self._num_steps[kind]
            self._latencies[kind] = _seconds()
            self._replies[kind].clear()
        tallies, self._tallies = self._tallies, defaultdict(Tally)
        return dict(tallies)

    def _at(self, due: float, now: float) -> Tally:
        return self._tallies[floor((due if self._by_due else now) - self._origin)]


def _seconds() -> "defaultdict[int, array[float]]":
    return defaultdict(lambda: array("d"))
