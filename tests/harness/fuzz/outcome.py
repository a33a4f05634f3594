"""`Outcome`: what came of a phase, and whether it holds what is promised. Pure."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.harness.fuzz.watcher import Watched

# What the service may take above rest beside what its settings let it hold.
MAX_GROWN_MB = 100.0
_MAX_KEPT_MB = 100.0


@dataclass(slots=True)
class Outcome:
    """`inputs` that were sent or decoded; `statuses`, a count each; `findings` in words.

    `held_mb`: what `max_held_bytes` lets the service of this phase hold.
    """

    inputs: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    held_mb: float = 0.0
    seen: Watched | None = None

    def add(self, status: int, times: int = 1) -> None:
        """An answer came."""
        self.statuses[str(status)] += times

    def broken(self) -> list[str]:
        """What of the promises does not hold, the time of `/livez` apart: that is the machine's,
        too.
        """
        found = list(self.findings)
        found += [
            f"{number} answers of {status}"
            for status, number in self.statuses.items()
            if status.startswith("5") and status not in ("503", "504")
        ]
        if self.seen is not None:
            found += _broken(self.seen, self.held_mb)
        return found

    def dump(self) -> dict[str, Any]:
        """It for a file."""
        return asdict(self) | {"statuses": dict(self.statuses)}


def load_outcome(saved: dict[str, Any]) -> Outcome:
    """What `dump` wrote."""
    seen = saved["seen"]
    known = {**saved, "statuses": Counter(saved["statuses"])}
    return Outcome(**{**known, "seen": None if seen is None else Watched(**seen)})


def _broken(seen: Watched, held_mb: float) -> list[str]:
    found: list[str] = []
    if seen.unanswered:
        found.append(f"/livez was not answered {seen.unanswered} times")
    grown, kept = seen.rss_peak_mb - seen.rss_before_mb, seen.rss_after_mb - seen.rss_before_mb
    if grown > MAX_GROWN_MB + held_mb:
        found.append(f"memory grew by {grown:.0f} MB")
    if kept > _MAX_KEPT_MB:
        found.append(f"{kept:.0f} MB of memory stayed")
    return found
