"""What the gate counts: answers by route and status, and how long they took."""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

# Upper bounds in seconds, fine where steps are and coarse where long sequences are.
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

# What is counted where no answer was sent, since the client had gone.
CLIENT_GONE = 499


@dataclass(slots=True)
class Durations:
    """A histogram; the last count is of what took longer than every bound."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    total_s: float = 0.0


class Traffic:
    """Answers counted on the event loop; /metrics reads them there too."""

    def __init__(self) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.durations: dict[str, Durations] = {}

    def __repr__(self) -> str:
        return f"<Traffic answers={self.answers.total()}>"

    def count(self, route: str, status: int, elapsed_s: float) -> None:
        self.answers[route, status] += 1
        durations = self.durations.get(route)
        if durations is None:
            durations = self.durations[route] = Durations()
        durations.counts[bisect_left(BOUNDS_S, elapsed_s)] += 1
        durations.total_s += elapsed_s
