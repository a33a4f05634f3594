"""What idle sessions leave behind: memory, and what they cost those that are active."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.cases import SMALL, Case
from benchmarks.crowd import Crowd
from benchmarks.figures import Figure
from benchmarks.findings import Findings, ratio
from benchmarks.load import run_through
from benchmarks.measure import Bench, Result, drive
from benchmarks.memory import Memory
from benchmarks.plan import Plan
from benchmarks.spread import ROUND_S
from benchmarks.targets import Carousel

_BYTES_AIM = 300.0
_RATIO_AIM = 1.2
_ACTIVE = Case(SMALL, 32, "binary")
_RESIDENT = "carousel_sessions_resident"
# The service gives up what was idle for a minute, and looks every half.
_LEAVE_S = 130.0
_POLL_S = 2.0
_PARTS = 4
_HEADER = """\
| sessions | in memory | resident MB | Pss MB | anonymous MB | 32 active: p50 ms | p99 ms \
| us/step | without idle: p50 ms | p99 ms |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""


@dataclass(frozen=True, slots=True)
class _Stage:
    """The service at one time: its memory, and then the load of a few sessions on it and, in
    turns, on one that never had many.
    """

    what: str
    resident: int
    memory: Memory
    active: Result
    beside: Result

    def __str__(self) -> str:
        memory, active = self.memory, self.active
        sizes = (memory.resident, memory.proportional, memory.anonymous)
        cells = [self.what, f"{self.resident:,}", *(f"{each / 1e6:.1f}" for each in sizes)]
        cells += [f"{active.p50_ms:.2f}", f"{active.p99_ms:.2f}", f"{active.cpu_us:.0f}"]
        cells += [f"{self.beside.p50_ms:.2f}", f"{self.beside.p99_ms:.2f}"]
        return "| " + " | ".join(cells) + " |"


def measure_idle(plan: Plan) -> Findings:
    """Memory before and after many sessions were stepped once and left idle; and the latency of a
    few, beside that of a service without the many.
    """
    case = Case(SMALL, plan.num_sessions, "binary")
    with (
        plan.running("idle", plan.sqlite("idle")) as server,
        plan.running("beside", plan.sqlite("beside")) as other,
    ):
        crowd, beside = Crowd(server, case), Carousel(other)
        # What the first steps take once and for all is not the idle sessions'.
        _active(plan, crowd, beside)
        stages = [_stage(plan, crowd, beside, "before")]
        crowd.open()
        peak = _step_all(crowd)
        plan.say(f"{case.sessions:,} sessions opened and stepped once")
        stages.append(_stage(plan, crowd, beside, f"{case.sessions:,} stepped once"))
        _wait_idle(crowd.target)
        stages.append(_stage(plan, crowd, beside, f"{case.sessions:,} idle"))
        crowd.check_positions()
        row_bytes = crowd.state_bytes()
    return _find(case, stages, peak, row_bytes)


def _find(case: Case, stages: Sequence[_Stage], peak: int, row_bytes: int) -> Findings:
    before, idle = stages[0], stages[-1]
    growth = idle.memory.resident - before.memory.resident
    each = (growth - peak * row_bytes) / case.sessions
    p50 = ratio(idle.active, idle.beside, lambda run: run.p50_ms)
    p99 = ratio(idle.active, idle.beside, lambda run: run.p99_ms)
    what = f"{case.sessions:,} idle sessions: "
    note = (
        f"Idle memory: resident memory grew by {growth:,} bytes; of these {peak * row_bytes:,} are "
        f"the pool's own, which keeps the pages that were touched: {peak:,} slots (the most "
        f"sessions that were in memory at a time) of {row_bytes} bytes (`state_bytes`)."
    )
    return Findings(
        [
            Figure(what + "resident bytes of each, without the pool", each, "<", _BYTES_AIM, " B"),
            Figure(what + "p50 of 32 active ones beside that without", p50, "<=", _RATIO_AIM),
            Figure(what + "p99 of 32 active ones beside that without", p99, "<=", _RATIO_AIM),
        ],
        notes=[note, _HEADER + "\n".join(map(str, stages))],
    )


def _stage(plan: Plan, crowd: Crowd, beside: Carousel, what: str) -> _Stage:
    resident, memory = _resident(crowd.target), Memory.of(crowd.server.pid)
    plan.say(f"{what}: {memory.resident / 1e6:.0f} MB, {resident:,} sessions in memory")
    return _Stage(what, resident, memory, *_active(plan, crowd, beside))


def _active(plan: Plan, crowd: Crowd, beside: Carousel) -> list[Result]:
    """The load on both, in turns: over minutes, the machine itself is not the same."""
    bench = Bench({"with": crowd.target, "without": beside}, {})
    return bench.measure([_ACTIVE], plan.num_runs, plan.window_s, plan.say)


def _step_all(crowd: Crowd) -> int:
    """One step of every session; the most sessions that were seen in memory."""
    peak = 0
    for part in range(_PARTS):
        streams = crowd.streams(part, _PARTS)
        load = run_through(crowd.server.port, streams, ROUND_S)
        crowd.check(drive(crowd.target, crowd.case.size.model, load).load)
        peak = max(peak, _resident(crowd.target))
    return peak


def _wait_idle(target: Carousel) -> None:
    """Until the last session has left memory, or should have."""
    end = time.monotonic() + _LEAVE_S
    while _resident(target) and time.monotonic() < end:
        time.sleep(_POLL_S)


def _resident(target: Carousel) -> int:
    return round(target.metric(_RESIDENT))
