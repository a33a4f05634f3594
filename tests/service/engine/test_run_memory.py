"""What a run may take: batches are chosen within it, and what cannot be is refused before."""

from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import pytest

from carousel.models.manifest import ProgramKind
from carousel.models.repository import Repository
from carousel.models.row import Array
from carousel.models.spec import InputSpec, ModelSpec, OutputSpec, StateSpec
from carousel.service.backends.base import BackendRefused
from carousel.service.engine.chunk_budget import ChunkBudget
from carousel.service.engine.loaded_model import LoadOptions, load_model
from carousel.service.engine.request import Request
from carousel.service.engine.run_memory import RunMemory
from carousel.service.engine.scheduler import Limits, Row, Scheduler
from tests.harness.client import RAW, numbers, refused
from tests.harness.layouts import lstm
from tests.harness.live import Live

WHOLE = "bilstm-10-20-2"
STREAMED = "lstm-10-20-2"
# One step of a row is 10 units, and a row itself 5.
MEMORY = RunMemory(row_bytes=5, step_bytes=10, most=1000)


def _scheduler(*, chunked: bool, memory: RunMemory = MEMORY) -> Scheduler:
    limits = Limits(
        max_rows=256, max_run_steps=None, chunked=chunked, mixed_lengths=True, memory=memory
    )
    return Scheduler(limits, ChunkBudget(1e9))


def _runs(scheduler: Scheduler, lengths: list[int]) -> list[list[Row]]:
    """All batches of requests of these lengths."""
    scheduler.add(Request({"x": np.zeros((n, 1), np.float32)}, n, 1e9) for n in lengths)
    runs: list[list[Row]] = []
    while not scheduler.is_idle:
        rows = scheduler.schedule(0).rows
        assert rows
        scheduler.update(rows, 1e-6)
        runs.append(rows)
    return runs


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(
    "lengths", [[1] * 300, [99], [99] * 3, [9] * 50, [1, 60, 61, 62, 1], [*range(1, 60)], [33] * 9]
)
def test_every_run_is_within_the_bound(chunked: bool, lengths: list[int]) -> None:
    """Rows times their padded length; and all time steps of all requests run, each once."""
    scheduler = _scheduler(chunked=chunked)
    runs = _runs(scheduler, lengths)
    for rows in runs:
        assert MEMORY.fits(len(rows), max(row.length for row in rows))
    assert sum(row.length for rows in runs for row in rows) == sum(lengths)


def test_a_sequence_that_may_be_cut_goes_in_shorter_pieces() -> None:
    """Of 250 steps, where 99 fit a run."""
    runs = _runs(_scheduler(chunked=True), [250])
    assert max(row.length for rows in runs for row in rows) <= 99
    assert sum(row.length for rows in runs for row in rows) == 250


def test_single_steps_fill_a_run_up_to_the_bound() -> None:
    """66 rows of 15 units are 990, and 67 would be more than 1000."""
    assert [len(rows) for rows in _runs(_scheduler(chunked=True), [1] * 100)] == [66, 34]


def test_what_is_read_of_a_spec() -> None:
    """Steps count inputs, outputs and states that change; rows what has no time axis, or stays."""
    spec = ModelSpec(
        inputs=(
            InputSpec(name="x", dtype="float32", axes=("batch", "time", 3)),
            InputSpec(name="speaker", dtype="float64", axes=("batch", 2)),
        ),
        outputs=(OutputSpec(name="y", dtype="int16", axes=("batch", "time", 5), per="step"),),
        states=(
            StateSpec(name="h", dtype="float32", axes=("batch", 7), output="h_out"),
            StateSpec(name="memory", dtype="float32", axes=("batch", 9), output=None, fixed=True),
        ),
        streaming="step",
    )
    memory = RunMemory.of(spec, 10**6)
    assert memory.step_bytes == 6 * (12 + 10 + 28)
    assert memory.row_bytes == 6 * (16 + 36)
    assert memory.fits(1, memory.most_steps())
    assert not memory.fits(1, memory.most_steps() + 1)


def test_a_model_of_which_one_step_is_too_much_is_refused(tmp_path: Path) -> None:
    """At its load, with the setting's name: its requests would all be refused."""
    manifest, files = lstm(3, 64).artifact(kinds=("onnx",))
    artifact = Repository(tmp_path).add(manifest, files)
    with pytest.raises(BackendRefused, match="CAROUSEL_MAX_RUN_BYTES"):
        load_model(artifact, LoadOptions(max_run_bytes=1000))


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
@pytest.mark.parametrize(("hidden", "rows", "steps"), [(20, 64, 500), (256, 4, 500)])
def test_a_run_takes_no_more_than_is_counted(
    tmp_path: Path, kind: ProgramKind, hidden: int, rows: int, steps: int
) -> None:
    """The peak of the process while an LSTM runs whole sequences, as the kernel tells it."""
    reset = Path("/proc/self/clear_refs")
    manifest, files = lstm(10, hidden, ragged=False).artifact(kinds=(kind,))
    loaded = load_model(Repository(tmp_path).add(manifest, files), LoadOptions(program=kind))
    core = loaded.engine.core
    core.scheduler.budget = ChunkBudget(1e9)
    core.scheduler.budget.measured(rows, steps, 1.0)
    x = np.ones((steps, 10), np.float32)
    core.scheduler.add(Request({"x": x}, steps, 1e18, target=n) for n in range(rows))
    try:
        reset.write_text("5")
    except OSError:
        pytest.skip("this kernel does not forget the peak of a process")
    before = _status("VmRSS")
    finished = core.step()
    assert [each.error for each in finished] == [None] * rows
    assert _status("VmHWM") - before <= RunMemory.of(loaded.spec, 1).nbytes(rows, steps)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def test_a_service_refuses_what_no_run_may_hold(repository: Path) -> None:
    """A sequence that must run whole is refused in words; a shorter one, many of them at once, and
    a long one of a model that streams are answered as without a bound.
    """
    long, short = numbers(9000, 10), numbers(40, 10)

    def infer(service: Live, model: str, x: Array) -> httpx.Response:
        return service.client.post(f"/v1/models/{model}/infer", content=x.tobytes(), headers=RAW)

    def answers(service: Live) -> list[npt.NDArray[np.float64]]:
        given = {"sequences": [short.tolist()] * 50}
        many = service.client.post(f"/v1/models/{WHOLE}/infer", json=given)
        one, streamed = infer(service, WHOLE, short), infer(service, STREAMED, long)
        assert {each.status_code for each in (one, streamed, many)} == {200}
        raw = [np.frombuffer(each.content, "<f4").astype(np.float64) for each in (one, streamed)]
        return [*raw, np.asarray(many.json()["outputs"], np.float64)]

    with Live(repository) as service:
        expected = answers(service)
        assert infer(service, WHOLE, long).status_code == 200
    with Live(repository, "--max-run-bytes", "1MB") as service:
        found = refused(infer(service, WHOLE, long), 422, "sequence_too_long")
        assert "CAROUSEL_MAX_RUN_BYTES" in found["hint"]
        assert "9000 time steps" in found["detail"]
        for answer, wanted in zip(answers(service), expected, strict=True):
            np.testing.assert_allclose(answer, wanted, atol=2e-6)
        assert service.client.get("/readyz").json()["refused"] == []
