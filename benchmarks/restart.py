"""How long a restart takes with many sessions in the file, and the first step of one after it."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.cases import SEED, SMALL, Case
from benchmarks.crowd import Crowd
from benchmarks.figures import Figure
from benchmarks.findings import Findings
from benchmarks.load import Stream, run_load, run_through
from benchmarks.measure import WARMUP_S, drive
from benchmarks.plan import Plan

_READY_AIM_S = 2.0
_OVER_AIM_MS = 20.0
_NUM_PROBED = 200
_PROBE_S = 60.0
_LOAD_S = 1.0
_NS_A_MS = 1e6
_HEADER = """\
| ended by | ended after s | ready after s | cold step: median ms | max ms | warm step: median ms \
| max ms |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True)
class _Restart:
    """One restart. Of the steps after it, one at a time: the first of sessions that nobody had
    used since (cold), and the next of the same (warm).
    """

    signal: str
    ended_s: float
    ready_s: float
    cold_ms: tuple[float, ...]
    warm_ms: tuple[float, ...]

    @property
    def median_over_ms(self) -> float:
        """What the median cold step takes over the median warm one."""
        return median(self.cold_ms) - median(self.warm_ms)

    @property
    def max_over_ms(self) -> float:
        """What the slowest cold step takes over the median warm one."""
        return max(self.cold_ms) - median(self.warm_ms)

    def __str__(self) -> str:
        cells = [self.signal, f"{self.ended_s:.2f}", f"{self.ready_s:.2f}"]
        for each in (self.cold_ms, self.warm_ms):
            cells += [f"{median(each):.2f}", f"{max(each):.2f}"]
        return "| " + " | ".join(cells) + " |"


def measure_restart(plan: Plan) -> Findings:
    """Restarts by SIGTERM and SIGKILL in turns, each straight after a load."""
    case = Case(SMALL, plan.num_sessions, "binary")
    with plan.running("restart", plan.sqlite("restart")) as server:
        server.stop()
        empty_s = server.start()
        crowd = Crowd(server, case)
        crowd.open()
        plan.say(f"{case.sessions:,} sessions opened")
        restarts = []
        for turn in range(plan.num_runs):
            for signal, end in (("SIGTERM", server.stop), ("SIGKILL", server.kill)):
                restarts.append(_restart(crowd, signal, end, turn))
                plan.say(f"{signal}: ready after {restarts[-1].ready_s:.2f} s")
    return _find(case, restarts, empty_s)


def _restart(crowd: Crowd, signal: str, end: Callable[[], None], turn: int) -> _Restart:
    server = crowd.server
    # Leaves commits in the log that a start has to go through.
    load = run_load(server.port, crowd.streams(), WARMUP_S, _LOAD_S)
    crowd.check(drive(crowd.target, crowd.case.size.model, load).load)
    began = time.perf_counter()
    end()
    ended_s = time.perf_counter() - began
    ready_s = server.start()
    sessions = random.Random(f"{SEED} {turn}").sample(range(crowd.case.sessions), _NUM_PROBED)
    cold_ms, warm_ms = _probe(crowd, sessions), _probe(crowd, sessions)
    crowd.check_positions()
    return _Restart(signal, ended_s, ready_s, cold_ms, warm_ms)


def _probe(crowd: Crowd, sessions: Sequence[int]) -> tuple[float, ...]:
    """A step of each, one at a time, in milliseconds."""
    stream = Stream(crowd.request(session) for session in sessions)
    done = drive(
        crowd.target, crowd.case.size.model, run_through(crowd.server.port, [stream], _PROBE_S)
    )
    return tuple(ns / _NS_A_MS for ns in done.load.latencies_ns)


def _find(case: Case, restarts: Sequence[_Restart], empty_s: float) -> Findings:
    what = f"{case.sessions:,} sessions in the file: "
    figures = [
        Figure(
            f"{what}ready after {signal}",
            median(each.ready_s for each in restarts if each.signal == signal),
            "<=",
            _READY_AIM_S,
            " s",
        )
        for signal in ("SIGTERM", "SIGKILL")
    ]
    median_ms = median(each.median_over_ms for each in restarts)
    max_ms = median(each.max_over_ms for each in restarts)
    step = f"{what}first step of a cold one over a warm one's median, "
    figures.append(Figure(step + "median", median_ms, "<=", _OVER_AIM_MS, " ms"))
    figures.append(Figure(f"{step}slowest of {_NUM_PROBED}", max_ms, "<=", _OVER_AIM_MS, " ms"))
    note = (
        f"Restarts: ready after {empty_s:.2f} s with an empty file. Steps are sent one at a time, "
        "from the first after the start; the file is in the system's page cache."
    )
    return Findings(figures, notes=[note, _HEADER + "\n".join(map(str, restarts))])
