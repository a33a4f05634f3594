"""What columns are for: steps of 4,096 sessions in one request, beside as many requests of one."""

import http.client
import json
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from benchmarks.artifacts import eager_outputs
from benchmarks.cases import NUM_INPUTS, SEED, SMALL, Case
from benchmarks.figures import Figure
from benchmarks.findings import Findings
from benchmarks.framing import LoadError
from benchmarks.measure import TOLERANCE, Bench
from benchmarks.plan import Plan
from benchmarks.process import LOAD_CORE, Server, pinned
from benchmarks.targets import Carousel

_ROWS = 4096
_BASE = Case(SMALL, 128, "binary")
# Session-steps a second on the machine of benchmarks/NOTES.md; single steps on it do 30,500.
_AIMS = {
    ("memory", "safetensors"): 150_000,
    ("memory", "JSON"): 80_000,
    ("sqlite", "safetensors"): 50_000,
}
_HEAD = """\
| store | request | session-steps/s | of single steps | ms a request | us/row |
| --- | --- | ---: | ---: | ---: | ---: |
"""

Floats = npt.NDArray[np.float32]


def measure_columns(plan: Plan) -> Findings:
    """Each store and encoding, in turns with single steps on the memory store."""
    figures: list[Figure] = []
    lines: list[str] = []
    with plan.running("single", "memory") as single:
        for store, kinds in (("memory", ("safetensors", "JSON")), ("sqlite", ("safetensors",))):
            address = plan.sqlite("columns") if store == "sqlite" else store
            with plan.running(f"columns-{store}", address) as server:
                bench = Bench({"single": Carousel(single)}, {})
                for kind in kinds:
                    ask = _Asking(server, kind, f"{store}-{kind}")
                    ask.step()  # opens the sessions
                    rates, beside = [], []
                    for _ in range(plan.num_runs):
                        [base] = bench.measure([_BASE], 1, plan.window_s, lambda _: None)
                        rate = ask.run(plan.window_s)
                        rates.append(rate)
                        beside.append(rate / base.steps_s)
                    ask.check()
                    plan.say(f"columns, {store}, {kind}: {median(rates):,.0f} session-steps/s")
                    name = f"small, {_ROWS:,} sessions a request, {kind}, {store}: session-steps/s"
                    figures.append(Figure(name, median(rates), ">=", _AIMS[store, kind]))
                    lines.append(
                        f"| {store} | {kind} | {median(rates):,.0f} | {median(beside):.2f} "
                        f"| {_ROWS / median(rates) * 1e3:.1f} | {median(ask.row_us):.1f} |"
                    )
    return Findings(figures, (), [_HEAD + "\n".join(lines)])


class _Asking:
    """One client that steps all sessions, with positions, again and again."""

    def __init__(self, server: Server, kind: str, prefix: str) -> None:
        self._server = server
        self._ids = [f"{prefix}-{number}" for number in range(_ROWS)]
        shape = (_ROWS, NUM_INPUTS, SMALL.input_size)
        self._inputs: Floats = np.random.default_rng(SEED).standard_normal(shape, np.float32)
        self._is_json = kind == "JSON"
        self._position = 0
        self._last = b""
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        # The server's time on its core for a row, of each run.
        self.row_us: list[float] = []

    def run(self, seconds: float) -> float:
        """Steps a second while the server works; what the client takes to make a request, and to
        look at an answer, is not counted.
        """
        spent, steps, before = 0.0, 0, self._server.cpu_s()
        with pinned(LOAD_CORE):
            while spent < seconds:
                spent += self.step()
                steps += _ROWS
        self.row_us.append((self._server.cpu_s() - before) / steps * 1e6)
        return steps / spent

    def step(self) -> float:
        """The next step of each session; the seconds until it was answered. Raises LoadError."""
        frame = np.ascontiguousarray(self._inputs[:, self._position % NUM_INPUTS])
        body, media = (self._json if self._is_json else self._tensors)(frame)
        began = time.perf_counter()
        self._connection.request("POST", "/v1/steps", body, {"Content-Type": media})
        response = self._connection.getresponse()
        self._last = response.read()
        taken = time.perf_counter() - began
        if response.status != http.HTTPStatus.OK:
            raise LoadError(f"columns: {response.status} {self._last[:300]!r}")
        self._position += 1
        return taken

    def check(self) -> None:
        """Raise LoadError unless every row was done, and the answers are eager PyTorch's."""
        read: Callable[[bytes], tuple[Floats, Sequence[int]]]
        read = _read_json if self._is_json else _read_tensors
        outputs, positions = read(self._last)
        if set(positions) != {self._position}:
            raise LoadError(f"columns: positions {set(positions)}, not {self._position}")
        rows = [0, _ROWS // 2, _ROWS - 1]
        expected = eager_outputs(SMALL, self._inputs[rows], self._position)[:, -1]
        if not np.abs(outputs[rows] - expected).max() <= TOLERANCE:
            raise LoadError("columns: an answer differs from eager PyTorch's")

    def _tensors(self, frame: Floats) -> tuple[bytes, str]:
        head = {"model": SMALL.model, "session_ids": json.dumps(self._ids), "open": "true"}
        tensors: dict[str, npt.NDArray[Any]] = {
            "input": frame,
            "position": np.full(_ROWS, self._position, np.int64),
        }
        return save(tensors, metadata=head), "application/x-safetensors"

    def _json(self, frame: Floats) -> tuple[bytes, str]:
        body = {
            "model": SMALL.model,
            "session_ids": self._ids,
            "inputs": frame.tolist(),
            "positions": [self._position] * _ROWS,
            "open": True,
        }
        return json.dumps(body).encode(), "application/json"


def _read_json(body: bytes) -> tuple[Floats, Sequence[int]]:
    answer = json.loads(body)
    return np.asarray(answer["outputs"], np.float32), answer["positions"]


def _read_tensors(body: bytes) -> tuple[Floats, Sequence[int]]:
    found = load(body)
    positions = found.pop("position").tolist()
    del found["status"], found["replayed"]
    found.pop("opened", None)
    [outputs] = found.values()
    return outputs.astype(np.float32), positions
