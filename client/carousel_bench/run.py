"""One run of a benchmark and what it says: rates, percentiles, whose limit it met."""

from dataclasses import dataclass

from carousel_bench.load.crew import Measured
from carousel_bench.tally import Tally, within
from carousel_bench.words import milliseconds, number

# A load process that takes so much of a core is busy with itself.
_BUSY = 0.9
_MAY_BE_LATE = 0.01


@dataclass(frozen=True, slots=True)
class Run:
    """`name` is for people."""

    name: str
    measured: Measured

    @property
    def rate(self) -> float | None:
        """Requests/s that were due; None of a closed loop."""
        return self.measured.phase.rate

    @property
    def seconds(self) -> int:
        """How many were measured: fewer than were asked for where it was ended early."""
        asked = round(self.measured.phase.seconds)
        if self.measured.is_whole:
            return asked
        # The last second of what was interrupted is not whole; that in which a server went has what
        # became of its last requests.
        last = max(self.measured.tallies, default=0)
        return max(0, min(asked, last + 1 if self.measured.is_gone else last))

    @property
    def window(self) -> Tally:
        """What was counted while it was measured."""
        return within(self.measured.tallies, self.seconds)

    @property
    def is_generator_limited(self) -> bool:
        """Whether the load processes could make no more: what is measured is them."""
        tally = self.window
        shares = self.measured.cpu_shares
        may_be_late = _MAY_BE_LATE * max(tally.latency.count, 1)
        return max(shares, default=0.0) >= _BUSY or tally.late > may_be_late

    def told(self, p99_ms: float | None) -> str:
        """In a few words; with a p99 that is to be held, whether it was."""
        tally = self.window
        p50, p99 = (milliseconds(tally.latency.percentile(each)) for each in (50, 99))
        said = f"{number(tally.done / max(self.seconds, 1))}/s, p50 {p50} ms, p99 {p99} ms"
        if p99_ms is None:
            failed = (tally.refused + tally.errors).total()
            return said + (f", {failed:,} failed" if failed else "")
        shortfall = self.shortfall(p99_ms)
        return f"{said}: {'held' if shortfall is None else f'not held, {shortfall}'}"

    def shortfall(self, p99_ms: float) -> str | None:
        """Why the rate was not held at this p99; None where it was."""
        tally = self.window
        p99 = tally.latency.percentile(99)
        for word, count in (tally.refused + tally.errors).most_common(1):
            return f"{count:,} x {word}"
        if tally.unsent:
            return f"{tally.unsent:,} requests were due and never sent"
        if p99 is None:
            return "no reply came"
        if p99 * 1000 > p99_ms:
            return f"p99 was {p99 * 1000:,.1f} ms"
        return None


@dataclass(frozen=True, slots=True)
class Knee:
    """The highest rate that was held with p99 under `p99_ms` and no refusal; None: none was.
    `above`: why the next higher one that was tried was not, None where none failed.
    `is_generator`: that was for the load generator's own limit.
    """

    rate: float | None
    p99_ms: float
    tried: tuple[float, ...]
    above: str | None
    is_generator: bool
