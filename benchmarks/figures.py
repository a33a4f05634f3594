"""The figures that Carousel must reach, each with what was measured and what it aims at."""

import operator
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

from benchmarks.cases import MEDIUM, SMALL, Case, Size
from benchmarks.measure import Result
from benchmarks.process import SERVER_CORE, Server, pinned
from carousel.models.repository import Repository
from carousel.models.row import Array

_NUM_ORT_RUNS = 300
_BOUNDS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value beside its aim. `bound` says on which side of the aim it has to lie."""

    what: str
    value: float
    bound: str
    aim: float
    unit: str = ""

    @property
    def is_reached(self) -> bool:
        """Whether the value lies on the right side."""
        return _BOUNDS[self.bound](self.value, self.aim)

    def __str__(self) -> str:
        mark = "yes" if self.is_reached else "**no**"
        measured = f"{self.value:.3g}{self.unit}"
        return f"| {self.what} | {measured} | {self.bound} {self.aim:g}{self.unit} | {mark} |"


@dataclass(frozen=True, slots=True)
class Start:
    """What a service with the reference models alone takes up once it is ready."""

    ready_s: float
    resident_mb: float
    has_torch: bool


def measure_start(server: Server, num_starts: int = 3) -> Start:
    """Start the service several times; the median time to ready, the last one's memory."""
    times = []
    for turn in range(num_starts):
        times.append(server.start())
        if turn == num_starts - 1:
            start = Start(median(times), server.resident_mb(), server.has_torch())
        server.stop()
    return start


def ort_row_s(repository: Path, size: Size, batch: int) -> float:
    """ONNX Runtime's time per row for one step at `batch` rows, on the server's core."""
    artifact = Repository(repository).open(size.model)
    program = artifact.manifest.programs["onnx"]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        artifact.read(program.file), options, providers=["CPUExecutionProvider"]
    )
    spec = artifact.manifest.spec
    feeds = {
        each.name: np.random.default_rng(0)
        .standard_normal(each.model_shape(batch, 1))
        .astype(each.dtype)
        for each in (*spec.inputs, *spec.states)
    }
    if program.lengths is not None:
        feeds[program.lengths] = np.ones(batch, np.int32)
    with pinned(SERVER_CORE):
        times = [_timed(session, feeds) for _ in range(_NUM_ORT_RUNS)]
    return median(times) / batch


def _timed(session: onnxruntime.InferenceSession, feeds: dict[str, Array]) -> float:
    began = time.perf_counter()
    session.run(None, feeds)
    return time.perf_counter() - began


def make_figures(results: Sequence[Result], start: Start, repository: Path) -> list[Figure]:
    """Every figure whose cases were measured."""
    found = {(result.server, result.case): result for result in results}
    binary = found["carousel", Case(SMALL, 128, "binary")]
    json = found["carousel", Case(SMALL, 128, "json")]
    echo = found["echo", Case(SMALL, 128, "binary")]
    naive = found["naive", Case(SMALL, 128, "json")]
    medium = found["carousel", Case(MEDIUM, 32, "binary")]
    medium_echo = found["echo", Case(MEDIUM, 32, "binary")]
    lone = found["carousel", Case(SMALL, 1, "json")]
    row_s = ort_row_s(repository, MEDIUM, max(1, round(medium.rows)))
    bound_s = 1 / medium_echo.steps_s + row_s
    return [
        Figure("small, 128, binary: of the echo", binary.steps_s / echo.steps_s, ">=", 0.5),
        Figure("small, 128, binary: times the naive app", binary.steps_s / naive.steps_s, ">=", 10),
        Figure("small, 128: JSON of binary", json.steps_s / binary.steps_s, ">=", 0.85),
        Figure("small, 128, binary: p99 / p50", binary.p99_ms / binary.p50_ms, "<=", 3),
        Figure(
            f"medium, 32, binary: of 1 / (echo {1e6 / medium_echo.steps_s:.0f} us + ONNX Runtime "
            f"{row_s * 1e6:.0f} us a row at {medium.rows:.1f} rows)",
            medium.steps_s * bound_s,
            ">=",
            0.65,
        ),
        Figure("small, 1, JSON: p50", lone.p50_ms, "<", 0.4, " ms"),
        Figure("start to ready, reference models", start.ready_s, "<", 2, " s"),
        Figure("resident memory, reference models", start.resident_mb, "<", 200, " MB"),
        Figure("torch libraries loaded", float(start.has_torch), "<", 1),
    ]
