"""What a part of a benchmark found: figures with aims, lines of load, and notes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.figures import Figure
from benchmarks.measure import Result, Run

_FIGURES = """\
| figure | measured | aim | reached |
| --- | ---: | ---: | --- |
"""


@dataclass(frozen=True, slots=True)
class Absent:
    """A figure that could not be measured, and why."""

    what: str
    bound: str
    aim: float
    why: str

    def __str__(self) -> str:
        return f"| {self.what} | not there: {self.why} | {self.bound} {self.aim:g} | |"


@dataclass(frozen=True, slots=True)
class Line:
    """A store's runs under one load. `of_same`, `of_few`: its steps/s beside the memory store's
    under the same load, and at 128 sessions. `slowest_s`: its slowest commit so far.
    """

    load: str
    result: Result
    of_same: float
    of_few: float
    slowest_s: float

    @property
    def core(self) -> float:
        """The service's share of its core."""
        return median(run.steps_s * run.cpu_us / 1e6 for run in self.result.runs)

    def __str__(self) -> str:
        result = self.result
        cells = [
            self.load,
            result.server,
            f"{result.steps_s:,.0f}",
            f"{self.of_same:.2f}",
            f"{self.of_few:.2f}",
            f"{result.p50_ms:.2f}",
            f"{result.p99_ms:.2f}",
            f"{result.cpu_us:.0f}",
            f"{self.core:.0%}",
            f"{result.rows:.1f}",
            f"{self.slowest_s * 1e3:.1f}",
            f"{result.client_share:.0%}",
        ]
        return "| " + " | ".join(cells) + " |"


@dataclass(frozen=True, slots=True)
class Way:
    """The runs of one way to the same model. `of_base`: its steps/s beside those of the first."""

    load: str
    result: Result
    of_base: float

    def __str__(self) -> str:
        result = self.result
        cells = [
            self.load,
            result.server,
            f"{result.steps_s:,.0f}",
            f"{self.of_base:.2f}",
            f"{result.p50_ms:.3f}",
            f"{result.p99_ms:.3f}",
            f"{result.cpu_us:.0f}",
            f"{result.rows:.1f}",
            f"{result.client_share:.0%}",
        ]
        return "| " + " | ".join(cells) + " |"


@dataclass(frozen=True, slots=True)
class Findings:
    """All that one part found; `notes` are paragraphs and tables in Markdown."""

    figures: Sequence[Figure | Absent]
    lines: Sequence[Line | Way] = ()
    notes: Sequence[str] = field(default=())


def sections(head: str, columns: str, found: Sequence[Findings]) -> str:
    """A report: its head, the figures, the lines under their columns, and the notes."""
    figures = [str(figure) for each in found for figure in each.figures]
    lines = [str(line) for each in found for line in each.lines]
    notes = [note for each in found for note in each.notes]
    tables = [_FIGURES + "\n".join(figures), *([columns + "\n".join(lines)] if lines else ())]
    return "\n\n".join([head, *tables, *notes]) + "\n"


def ratio(result: Result, base: Result, of: Callable[[Run], float] | None = None) -> float:
    """The median over the runs of a figure beside the same run's of another: steps/s, or `of`."""
    read = of or _steps_s
    pairs = zip(result.runs, base.runs, strict=True)
    return median(read(run) / read(other) for run, other in pairs)


def _steps_s(run: Run) -> float:
    return run.steps_s
