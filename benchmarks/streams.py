"""What a stream saves: WebSocket messages beside HTTP requests to the same service."""

from benchmarks.cases import SMALL, Case
from benchmarks.figures import Figure
from benchmarks.findings import Findings, Way, ratio
from benchmarks.measure import Bench
from benchmarks.plan import Plan
from benchmarks.targets import Carousel
from benchmarks.ways import WebSocket

_MANY = 128
_STEPS_AIM = 1.3
_P50_AIM = 1.0


def measure_streams(plan: Plan) -> Findings:
    """Both ways in turns, for many connections and for one."""
    lines = []
    figures = []
    with plan.running("streams", "memory") as server:
        targets = {"HTTP": Carousel(server), "WebSocket": WebSocket(server)}
        for sessions in (1, _MANY):
            case = Case(SMALL, sessions, "binary")
            http, stream = Bench(targets, {}).measure(
                [case], plan.num_runs, plan.window_s, plan.say
            )
            of_http = ratio(stream, http)
            lines += [Way(str(case), http, 1.0), Way(str(case), stream, of_http)]
            if sessions == _MANY:
                what = f"{case}: WebSocket / HTTP, steps/s"
                figures.append(Figure(what, of_http, ">=", _STEPS_AIM))
            else:
                p50 = ratio(stream, http, lambda run: run.p50_ms)
                figures.append(Figure(f"{case}: WebSocket / HTTP, p50", p50, "<=", _P50_AIM))
    return Findings(figures, lines)
