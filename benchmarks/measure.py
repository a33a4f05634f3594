"""Put every case to every server, in turns, several times; check the answers; take medians."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median

import numpy as np
import uvloop

from benchmarks.artifacts import eager_outputs
from benchmarks.cases import Case, Floats, Size
from benchmarks.framing import LoadError
from benchmarks.load import Load, run_load
from benchmarks.process import LOAD_CORE, pinned
from benchmarks.targets import Carousel, Echo, Target

_NUM_CHECKED = 300
TOLERANCE = 1e-5
WARMUP_S = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """One window of load.

    `cpu_us`: the server's time on its core for one step, which other programs on the machine hardly
    change. `rows`: mean rows in the batches that formed (the service alone).
    """

    steps_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    client_share: float
    rows: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A server's runs of one case; the figures are medians over the runs."""

    server: str
    case: Case
    runs: tuple[Run, ...]

    @property
    def steps_s(self) -> float:
        return median(run.steps_s for run in self.runs)

    @property
    def p50_ms(self) -> float:
        return median(run.p50_ms for run in self.runs)

    @property
    def p99_ms(self) -> float:
        return median(run.p99_ms for run in self.runs)

    @property
    def cpu_us(self) -> float:
        return median(run.cpu_us for run in self.runs)

    @property
    def client_share(self) -> float:
        return median(run.client_share for run in self.runs)

    @property
    def rows(self) -> float:
        return median(run.rows or 0.0 for run in self.runs)


@dataclass(frozen=True, slots=True)
class Drive:
    """One window of load: what the clients got, and the figures."""

    load: Load
    run: Run


class Bench:
    """The servers under test by name, and the measuring of one case after another."""

    def __init__(self, targets: Mapping[str, Target], sizes: dict[Case, int]) -> None:
        self._targets = targets
        self._reply_bytes = sizes

    def measure(
        self, cases: Iterable[Case], num_runs: int, window_s: float, say: Callable[[str], None]
    ) -> list[Result]:
        """Every case on every server that takes it; LoadError on any error or wrong reply."""
        results = []
        for case in cases:
            runs: dict[str, list[Run]] = {}
            for _ in range(num_runs):
                for name, target in self._targets.items():
                    if target.takes(case):
                        runs.setdefault(name, []).append(self._run(name, target, case, window_s))
            done = [Result(name, case, tuple(each)) for name, each in runs.items()]
            say(f"{case}: " + ", ".join(f"{each.server} {each.steps_s:,.0f}/s" for each in done))
            results += done
        return results

    def _run(self, name: str, target: Target, case: Case, window_s: float) -> Run:
        checked = sorted({0, case.sessions // 3, 2 * case.sessions // 3, case.sessions - 1})
        streams = target.open(case, checked, _NUM_CHECKED)
        window = run_load(target.server.port, streams, WARMUP_S, window_s)
        done = drive(target, case.size.model, window)
        target.check(done.load)
        target.close()
        if not isinstance(target, Echo):
            _check_outputs(target, case, done.load, checked)
        if isinstance(target, Carousel):
            sizes = [len(each.body) for each in done.load.last]
            self._reply_bytes[case] = round(sum(sizes) / len(sizes))
        return done.run


def drive(target: Target, model: str, load: Coroutine[None, None, Load]) -> Drive:
    """Run a load on its core, and see what it takes of the server's; LoadError on any error."""
    before, cpu_before = _batches(target, model), target.server.cpu_s()
    with pinned(LOAD_CORE), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        done = runner.run(load)
    after, cpu_after = _batches(target, model), target.server.cpu_s()
    if done.errors:
        name = target.server.name
        raise LoadError(f"{name}: {done.errors} errors with {model}: {done.first_error[:500]!r}")
    rows = (after[0] - before[0]) / max(1.0, after[1] - before[1])
    cpu_s = cpu_after - cpu_before
    return Drive(done, _run_of(done, cpu_s, rows if isinstance(target, Carousel) else None))


def _batches(target: Target, model: str) -> tuple[float, float]:
    if not isinstance(target, Carousel):
        return 0.0, 0.0
    return (
        target.metric("carousel_model_rows_total", model),
        target.metric("carousel_model_batches_total", model),
    )


def _run_of(load: Load, cpu_s: float, rows: float | None) -> Run:
    ms = np.asarray(load.latencies_ns, np.float64) / 1e6
    p50, p99 = np.percentile(ms, [50, 99])
    steps_s = len(load.latencies_ns) / load.window_s
    cpu_us = cpu_s / sum(load.counts) * 1e6
    return Run(steps_s, float(p50), float(p99), cpu_us, load.client_share, rows)


def _check_outputs(target: Target, case: Case, load: Load, checked: Sequence[int]) -> None:
    expected = _truth(case.size, case.sessions, tuple(checked))
    for row, session in enumerate(checked):
        outputs = np.stack([target.decode(case, body) for body in load.kept[session]])  # (T, H)
        error = float(np.abs(outputs - expected[row, : len(outputs)]).max())
        if not error <= TOLERANCE:
            name = target.server.name
            raise LoadError(f"{name} answers wrong at {case}: off eager PyTorch by {error:.1e}")


@cache
def _truth(size: Size, sessions: int, checked: tuple[int, ...]) -> Floats:
    inputs = Case(size, sessions, "binary").inputs()[list(checked)]
    return eager_outputs(size, inputs, _NUM_CHECKED)


def dump_results(results: Iterable[Result]) -> str:
    """Every run, as JSON lines."""
    return "".join(
        json.dumps(
            {
                "server": result.server,
                "size": result.case.size.name,
                "sessions": result.case.sessions,
                "encoding": result.case.encoding,
                "steps_s": round(run.steps_s, 1),
                "p50_ms": round(run.p50_ms, 4),
                "p99_ms": round(run.p99_ms, 4),
                "cpu_us": round(run.cpu_us, 2),
                "client_share": round(run.client_share, 3),
                "rows": run.rows and round(run.rows, 2),
            }
        )
        + "\n"
        for result in results
        for run in result.runs
    )
