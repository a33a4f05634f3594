"""What was counted: by kind of request, in a second or over many, in one process or in all."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from carousel_bench.histogram import Histogram, merged


@dataclass(slots=True)
class Count:
    """Requests of one kind. `done`: replies of success that came. `latency` is of these and, with
    how long they had waited when they were given up, of those that were never answered: their
    latency is at least that.
    `refused` is by what the server said, `errors` by what happened: neither is in `latency`.
    `steps` are time steps, over all sessions of a request.
    """

    done: int = 0
    steps: int = 0
    latency: Histogram = field(default_factory=Histogram)
    refused: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def merge(self, other: "Count") -> None:
        """Add what another has counted."""
        self.done += other.done
        self.steps += other.steps
        self.latency.merge(other.latency)
        self.refused.update(other.refused)
        self.errors.update(other.errors)


@dataclass(slots=True)
class Tally:
    """Requests of all kinds.

    `queued`: they were due while every session still waited for a reply, and were sent when the
    first of them had it. `late`: the load generator itself was late with them. `unsent`: they were
    due and never sent; `waiting` is how long they had waited at the end. `details`: the server's
    own words for each refusal.
    """

    kinds: dict[str, Count] = field(default_factory=dict)
    queued: int = 0
    late: int = 0
    unsent: int = 0
    waiting: Histogram = field(default_factory=Histogram)
    details: dict[str, str] = field(default_factory=dict)

    def of(self, kind: str) -> Count:
        """The count of a kind."""
        return self.kinds.setdefault(kind, Count())

    def merge(self, other: "Tally") -> None:
        """Add what another has counted."""
        for kind, count in other.kinds.items():
            self.of(kind).merge(count)
        self.queued += other.queued
        self.late += other.late
        self.unsent += other.unsent
        self.waiting.merge(other.waiting)
        self.details = other.details | self.details

    @property
    def done(self) -> int:
        """Requests that were answered with success."""
        return sum(each.done for each in self.kinds.values())

    @property
    def steps(self) -> int:
        """Their time steps."""
        return sum(each.steps for each in self.kinds.values())

    @property
    def latency(self) -> Histogram:
        """Of all kinds together, those that were never sent among them."""
        return merged((*(each.latency for each in self.kinds.values()), self.waiting))

    @property
    def refused(self) -> Counter[str]:
        """Refusals of all kinds."""
        return _added(each.refused for each in self.kinds.values())

    @property
    def errors(self) -> Counter[str]:
        """Errors of all kinds."""
        return _added(each.errors for each in self.kinds.values())


def total(tallies: Iterable[Tally]) -> Tally:
    """All of them as one."""
    found = Tally()
    for each in tallies:
        found.merge(each)
    return found


def within(seconds: Mapping[int, Tally], num_seconds: float) -> Tally:
    """Those of a window that begins with second 0: the warm-up before it is negative."""
    return total(each for second, each in seconds.items() if 0 <= second < num_seconds)


def _added(counters: Iterable[Counter[str]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in counters:
        found.update(each)
    return found
