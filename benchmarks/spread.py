"""Many sessions in one file and steps spread evenly over them: first touch, and then warm."""

from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack

from benchmarks.cases import SMALL, Case
from benchmarks.crowd import Crowd
from benchmarks.figures import Figure
from benchmarks.findings import Findings, Line, ratio
from benchmarks.load import Load, run_load, run_through
from benchmarks.measure import WARMUP_S, Bench, Result, Run, drive
from benchmarks.plan import Plan
from benchmarks.stores import FEW, SLOWEST
from benchmarks.targets import Carousel

# A round through all sessions takes a tenth of this on a slow machine.
ROUND_S = 600.0
_AIM = 0.4
_SLOWEST_AIM_MS = 20.0
_FEW = Case(SMALL, FEW, "binary")

# The load of one turn on a crowd.
Turn = Callable[[Crowd, int], Coroutine[None, None, Load]]


def measure_spread(plan: Plan) -> Findings:
    """Steps per second where every step goes to another session."""
    case = Case(SMALL, plan.num_sessions, "binary")
    with ExitStack() as stack:
        few = Carousel(stack.enter_context(plan.running("few", "memory")))
        crowds = {
            "memory": Crowd(stack.enter_context(plan.running("memory", "memory")), case),
            "sqlite": Crowd(stack.enter_context(plan.running("sqlite", plan.sqlite("many"))), case),
        }
        for name, crowd in crowds.items():
            crowd.open()
            plan.say(f"{name}: {case.sessions:,} sessions opened")
        # So that nothing is in memory, and the slowest commit is one of steps.
        crowds["sqlite"].server.stop()
        crowds["sqlite"].server.start()
        phases = _Phases(plan, few, crowds)
        phases.run("first touch", lambda crowd, turn: _part(crowd, turn, plan.num_runs))
        phases.run("warm", lambda crowd, _: _window(crowd, plan.window_s))
        for crowd in crowds.values():
            crowd.check_positions()
    return Findings(phases.figures(), phases.lines, phases.notes)


def _part(crowd: Crowd, turn: int, turns: int) -> Coroutine[None, None, Load]:
    return run_through(crowd.server.port, crowd.streams(turn, turns), ROUND_S)


def _window(crowd: Crowd, window_s: float) -> Coroutine[None, None, Load]:
    return run_load(crowd.server.port, crowd.streams(), WARMUP_S, window_s)


class _Phases:
    """The phases one after another, and what they found."""

    def __init__(self, plan: Plan, few: Carousel, crowds: Mapping[str, Crowd]) -> None:
        self.lines: list[Line] = []
        self.notes: list[str] = []
        self._plan = plan
        self._few = few
        self._crowds = crowds

    def __repr__(self) -> str:
        return f"<_Phases lines={len(self.lines)}>"

    def run(self, what: str, turn_of: Turn) -> None:
        """Few sessions and each store's many, in turns."""
        bench = Bench({"memory": self._few}, {})
        few: list[Run] = []
        many: dict[str, list[Run]] = {name: [] for name in self._crowds}
        for turn in range(self._plan.num_runs):
            few += bench.measure([_FEW], 1, self._plan.window_s, lambda _: None)[0].runs
            for name, crowd in self._crowds.items():
                done = drive(crowd.target, crowd.case.size.model, turn_of(crowd, turn))
                crowd.check(done.load)
                many[name].append(done.run)
        base = Result("memory", _FEW, tuple(few))
        memory, sqlite = (
            Result(name, self._crowds[name].case, tuple(runs)) for name, runs in many.items()
        )
        lines = [
            self._line(what, base, base, base, self._few),
            self._line(what, memory, memory, base, self._crowds["memory"].target),
            self._line(what, sqlite, memory, base, self._crowds["sqlite"].target),
        ]
        self.lines += lines
        self.notes.append(self._resident(what))
        shown = ", ".join(f"{each.result.server} {each.result.steps_s:,.0f}/s" for each in lines)
        self._plan.say(f"small, {what}: {FEW} sessions and {memory.case.sessions:,}: {shown}")

    def figures(self) -> list[Figure]:
        """SQLite's, of both phases."""
        lines = [line for line in self.lines if line.result.server == "sqlite"]
        found = [
            Figure(f"{line.load}: sqlite / memory at {FEW}", line.of_few, ">=", _AIM)
            for line in lines
        ]
        slowest_ms = lines[-1].slowest_s * 1e3
        what = f"small, {self._plan.num_sessions:,} sessions: sqlite, slowest commit"
        return [*found, Figure(what, slowest_ms, "<", _SLOWEST_AIM_MS, " ms")]

    def _line(self, what: str, result: Result, same: Result, few: Result, target: Carousel) -> Line:
        beside = "beside " if result is few else ""
        load = f"small, {result.case.sessions:,} sessions, {beside}{what}"
        slowest_s = target.metric(SLOWEST)
        return Line(load, result, ratio(result, same), ratio(result, few), slowest_s)

    def _resident(self, what: str) -> str:
        counts = ", ".join(
            f"{name} {crowd.target.metric('carousel_sessions_resident'):,.0f}"
            for name, crowd in self._crowds.items()
        )
        return f"{what.capitalize()}: sessions in memory at its end: {counts}."
