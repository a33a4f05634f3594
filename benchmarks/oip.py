"""What the Open Inference Protocol costs: sequences of `/v2` beside sessions of `/v1`."""

from benchmarks.cases import SMALL, Case, Encoding
from benchmarks.figures import Figure
from benchmarks.findings import Findings, Way, ratio
from benchmarks.measure import Bench
from benchmarks.plan import Plan
from benchmarks.targets import Carousel
from benchmarks.ways import Oip

_SESSIONS = 128
_AIMS: dict[Encoding, float] = {"binary": 0.8, "json": 0.7}


def measure_oip(plan: Plan) -> Findings:
    """Both ways in turns, each encoding beside its own kind."""
    lines = []
    figures = []
    with plan.running("oip", "memory") as server:
        targets = {"/v1": Carousel(server), "/v2": Oip(server)}
        for encoding, aim in _AIMS.items():
            case = Case(SMALL, _SESSIONS, encoding)
            v1, v2 = Bench(targets, {}).measure([case], plan.num_runs, plan.window_s, plan.say)
            of_v1 = ratio(v2, v1)
            lines += [Way(str(case), v1, 1.0), Way(str(case), v2, of_v1)]
            figures.append(Figure(f"{case}: /v2 / /v1, steps/s", of_v1, ">=", aim))
    return Findings(figures, lines)
