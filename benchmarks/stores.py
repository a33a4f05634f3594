"""What durability costs a step: every store under the same load, in turns."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from benchmarks.cases import MEDIUM, SMALL, Case, Size
from benchmarks.figures import Figure
from benchmarks.findings import Absent, Findings, Line, ratio
from benchmarks.measure import Bench, Result
from benchmarks.plan import Plan
from benchmarks.process import LOAD_CORE, cpu_s, pinned
from benchmarks.targets import Carousel
from tests.harness.redis_server import RedisMissing, RedisServer

SLOWEST = "carousel_store_slowest_commit_seconds"
FEW = 128
_ROWS = "carousel_store_rows_total"
_SQLITE_AIMS = {SMALL: 0.6, MEDIUM: 0.85}
_REDIS_AIM = 0.4


def measure_stores(plan: Plan) -> Findings:
    """Steps per second of each store beside the memory store's."""
    figures: list[Figure | Absent] = []
    lines: list[Line] = []
    notes: list[str] = []
    with ExitStack() as stack:
        redis, why = None, ""
        try:
            with pinned(LOAD_CORE):
                redis = stack.enter_context(RedisServer(plan.scratch / "redis"))
        except RedisMissing as missing:
            why = str(missing)
        for size in (SMALL, MEDIUM):
            before_s = cpu_s(redis.pid) if redis else 0.0
            with ExitStack() as servers:
                targets = _start(plan, size, redis, servers)
                done = _measure(plan, size, targets)
                if redis:
                    spent_s = cpu_s(redis.pid) - before_s
                    notes.append(_redis_note(size, spent_s / targets["redis"].metric(_ROWS)))
            lines += done
            figures += _figures(size, done, why)
    return Findings(figures, lines, notes)


def _start(
    plan: Plan, size: Size, redis: RedisServer | None, stack: ExitStack
) -> dict[str, Carousel]:
    """Servers for one model alone, so that the slowest commit is one of its steps."""
    file, disk = plan.sqlite(f"{size.name}-process"), plan.sqlite(f"{size.name}-disk")
    servers = {
        "memory": plan.running("memory", "memory"),
        "sqlite": plan.running("sqlite", file),
        "sqlite, disk": plan.running("disk", disk, "--durability", "disk"),
    }
    if redis:
        servers["redis"] = plan.running("redis", redis.url)
    return {name: Carousel(stack.enter_context(server)) for name, server in servers.items()}


def _measure(plan: Plan, size: Size, targets: Mapping[str, Carousel]) -> list[Line]:
    case = Case(size, FEW, "binary")
    results = Bench(targets, {}).measure([case], plan.num_runs, plan.window_s, plan.say)
    return [_line(each, results[0], targets[each.server].metric(SLOWEST)) for each in results]


def _line(result: Result, memory: Result, slowest_s: float) -> Line:
    of_memory = ratio(result, memory)
    load = f"{result.case.size.name}, {result.case.sessions} sessions"
    return Line(load, result, of_memory, of_memory, slowest_s)


def _figures(size: Size, lines: Sequence[Line], why_no_redis: str) -> list[Figure | Absent]:
    of_memory = {line.result.server: line.of_same for line in lines}
    what = f"{size.name}, {FEW} sessions: %s / memory"
    sqlite = Figure(what % "sqlite", of_memory["sqlite"], ">=", _SQLITE_AIMS[size])
    if "redis" not in of_memory:
        return [sqlite, Absent(what % "redis", ">=", _REDIS_AIM, why_no_redis)]
    return [sqlite, Figure(what % "redis", of_memory["redis"], ">=", _REDIS_AIM)]


def _redis_note(size: Size, seconds: float) -> str:
    return (
        f"Redis, {size.name}: redis-server itself took {seconds * 1e6:.0f} us of the load's core "
        "for each session that was written."
    )
