"""What a service gains by all cores: lanes beside one run at a time, load included."""

from collections.abc import Sequence
from itertools import cycle
from statistics import median

import numpy as np

from benchmarks.artifacts import eager_outputs
from benchmarks.cases import MEDIUM, NUM_INPUTS, SMALL, Case, Floats
from benchmarks.figures import Figure
from benchmarks.findings import Findings, Way, ratio
from benchmarks.framing import LoadError
from benchmarks.load import Load, Stream, run_load
from benchmarks.measure import TOLERANCE, WARMUP_S, Bench, drive
from benchmarks.plan import Plan
from benchmarks.process import Server
from benchmarks.targets import Carousel, Target

_STEPS = (
    (Case(MEDIUM, 32, "binary"), 1.6),
    (Case(MEDIUM, 128, "binary"), 1.6),
    (Case(SMALL, 128, "binary"), 1.0),
)
_SEQUENCES = Case(MEDIUM, 32, "binary")
_NUM_STEPS = 64
_AIM_SEQUENCES = 1.7


def measure_cores(plan: Plan) -> Findings:
    """Two services that may use all cores, in turns: `--lanes 0` and `--lanes auto`."""
    lines: list[Way] = []
    figures: list[Figure] = []
    with (
        plan.running("one-run", "memory", "--lanes", "0", is_pinned=False) as one,
        plan.running("lanes", "memory", is_pinned=False) as lanes,
    ):
        targets = {"one run": Carousel(one), "lanes": Carousel(lanes)}
        for case, aim in _STEPS:
            base, found = Bench(targets, {}).measure([case], plan.num_runs, plan.window_s, plan.say)
            lines += [Way(str(case), base, 1.0), Way(str(case), found, ratio(found, base))]
            name = f"{case}, all cores: lanes / one run at a time, steps/s"
            figures.append(Figure(name, ratio(found, base), ">=", aim))
        rates = [
            [_rate(Sequences(server), plan.window_s) for server in (one, lanes)]
            for _ in range(plan.num_runs)
        ]
        gain = median(fast / slow for slow, fast in rates)
        name = f"medium, 32 clients, sequences of {_NUM_STEPS} steps, all cores: lanes / one run"
        figures.append(Figure(name, gain, ">=", _AIM_SEQUENCES))
        of_each = " and ".join(f"{median(each):,.0f}" for each in zip(*rates, strict=True))
        note = f"Sequences of {_NUM_STEPS} steps: {of_each} a second, one run at a time and lanes."
    plan.say(note)
    return Findings(figures, lines, [note])


def _rate(target: "Sequences", window_s: float) -> float:
    streams = target.open(_SEQUENCES, (0, 17), 1)
    done = drive(target, MEDIUM.model, run_load(target.server.port, streams, WARMUP_S, window_s))
    target.check(done.load)
    return done.run.steps_s


class Sequences(Target):
    """Whole sequences, without sessions."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def takes(self, case: Case) -> bool:
        return case.encoding == "binary"

    def open(self, case: Case, keep: Sequence[int], num_kept: int) -> list[Stream]:
        return [
            Stream(cycle([self._request(case, inputs)]), num_kept if row in keep else 0)
            for row, inputs in enumerate(case.inputs())
        ]

    def check(self, load: Load) -> None:
        """Raises LoadError unless the answers are eager PyTorch's."""
        for row, replies in enumerate(load.kept):
            for body in replies:
                expected = eager_outputs(MEDIUM, _SEQUENCES.inputs()[[row]], _NUM_STEPS)[0]
                found = np.frombuffer(body, "<f4").reshape(expected.shape)
                if not np.abs(found - expected).max() <= TOLERANCE:
                    raise LoadError(f"{self.server.name} answers a sequence wrong")

    def _request(self, case: Case, inputs: Floats) -> bytes:
        body = inputs[np.arange(_NUM_STEPS) % NUM_INPUTS].astype("<f4").tobytes()
        head = (
            f"POST /v1/models/{case.size.model}/infer HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{self.server.port}\r\n"
            f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
