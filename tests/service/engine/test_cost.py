"""What runs cost: measured by a clock that is wound by hand, remembered, and what is made of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from carousel.models.artifact import Artifact
from carousel.models.manifest import ProgramKind
from carousel.models.repository import Repository
from carousel.models.row import Array, RowLayout
from carousel.service.backends.base import Backend
from carousel.service.backends.choose import Place
from carousel.service.backends.onnx import OnnxBackend
from carousel.service.engine.cores import count_cores
from carousel.service.engine.cost_curve import CostCurve, CostPoint
from carousel.service.engine.cost_file import CostFile, cost_key
from carousel.service.engine.cost_meter import measure_cost
from carousel.service.engine.loaded_model import LoadOptions, load_model
from carousel.service.engine.pace import Pace, choose_pace
from carousel.service.engine.run_memory import UNBOUNDED, RunMemory
from tests.harness.layouts import lstm
from tests.harness.wound import WoundBackend

# Of a model whose run takes 100 us and 10 us a row.
AFFINE = CostCurve([CostPoint(1 << n, 100e-6 + 10e-6 * (1 << n)) for n in range(9)])


def test_what_waits_is_split_while_a_row_costs_hardly_more() -> None:
    """Where a row costs 10 us and a run 100: 256 rows are worth splitting for two lanes, of twenty
    each half would cost a third more.
    """
    pace = Pace(2, AFFINE)
    assert [pace.rows(count) for count in (0, 1, 2, 20, 64, 256)] == [0, 1, 2, 20, 32, 64]
    for count in range(2, 257):
        rows = pace.rows(count)
        assert rows >= count / 4
        assert AFFINE.shape(rows) / rows <= 1.15 * AFFINE.shape(count) / count + 1e-12


def test_what_costs_the_same_together_is_never_split() -> None:
    """A run that takes as long for many rows as for one has all there are; so without lanes."""
    flat = CostCurve([CostPoint(rows, 50e-6) for rows in (1, 16, 256)])
    assert [Pace(4, flat).rows(count) for count in (2, 100, 256)] == [2, 100, 256]
    assert [Pace(0, AFFINE).rows(count) for count in (2, 100, 256)] == [2, 100, 256]


def test_a_run_begins_while_the_rest_is_read() -> None:
    """As soon as a run's worth has come of what is split, and never of what is not."""
    pace = Pace(2, AFFINE)
    assert [pace.is_run(come, 256) for come in (63, 64, 65)] == [False, True, True]
    assert not any(pace.is_run(come, 20) for come in range(21))
    assert not any(Pace(0, AFFINE).is_run(come, 256) for come in range(257))


def test_between_and_beyond_what_was_measured() -> None:
    """On the line between two points; beyond the last by its cost for a row."""
    curve = CostCurve([CostPoint(2, 4.0), CostPoint(4, 6.0)])
    assert [curve.seconds(rows) for rows in (1, 2, 3, 4, 8)] == [4, 4, 5, 6, 12]


def test_a_machine_that_slows_down_is_noticed() -> None:
    """Runs that take three times what was measured make the expectation three times as long."""
    curve = CostCurve(AFFINE.points)
    for _ in range(100):
        curve.ran(10, 4, 4 * 3 * 200e-6)
    assert curve.seconds(10) == pytest.approx(3 * 200e-6, rel=1e-3)


def test_a_run_that_never_began_says_nothing() -> None:
    """However many fail before the program is run, what is expected stays."""
    curve = CostCurve(AFFINE.points)
    for _ in range(10_000):
        curve.ran(10, 1, 0.0)
    assert curve.seconds(10) == AFFINE.shape(10)


def test_pace_follows_cores_and_wishes() -> None:
    """Lanes that are asked for are given on any machine, none means runs one by one."""
    assert (choose_pace(AFFINE, 3).lanes, choose_pace(AFFINE, 3).num_runs) == (3, 3)
    assert (choose_pace(AFFINE, 0).lanes, choose_pace(AFFINE, 0).num_runs) == (0, 1)
    cores = count_cores()
    assert choose_pace(AFFINE, None).lanes == (cores if cores > 1 else 0)


def test_the_meter_finds_what_a_program_takes(tmp_path: Path) -> None:
    """By a clock that only the program winds: 3 ms a run and 0.5 ms a row, and what the first run
    of each shape takes on top is not counted.
    """
    manifest, files = lstm().artifact()
    artifact = Repository(tmp_path).add(manifest, files)
    layout = RowLayout(manifest.spec.states)
    backend = WoundBackend(artifact, layout, run_s=3e-3, row_s=0.5e-3, first_s=5e-3)
    curve = measure_cost(
        artifact, backend, layout, max_rows=8, memory=UNBOUNDED, clock=lambda: backend.now
    )
    assert [each.rows for each in curve.points] == [1, 2, 4, 8]
    for each in curve.points:
        assert each.seconds == pytest.approx(3e-3 + 0.5e-3 * each.rows)


def test_the_meter_keeps_to_its_time_and_to_what_a_run_may_hold(tmp_path: Path) -> None:
    """A model of 0.2 s a row is measured with a few rows alone; so is one that takes memory."""
    manifest, files = lstm().artifact()
    artifact = Repository(tmp_path).add(manifest, files)
    layout = RowLayout(manifest.spec.states)
    slow = WoundBackend(artifact, layout, run_s=0.0, row_s=0.2, first_s=0.0)
    curve = measure_cost(
        artifact, slow, layout, max_rows=256, memory=UNBOUNDED, clock=lambda: slow.now
    )
    assert slow.now < 1.0
    assert curve.points[-1].rows <= 2
    large = WoundBackend(artifact, layout, run_s=1e-3, row_s=0.0, first_s=0.0)
    three_rows = RunMemory(row_bytes=0, step_bytes=100, most=300)
    curve = measure_cost(
        artifact, large, layout, max_rows=256, memory=three_rows, clock=lambda: large.now
    )
    assert [each.rows for each in curve.points] == [1, 2]


def test_what_was_measured_is_remembered(tmp_path: Path) -> None:
    """The next load finds it; another number of threads is another question."""
    manifest, files = lstm().artifact()
    artifact = Repository(tmp_path).add(manifest, files)
    file = CostFile(tmp_path / "costs.json")
    assert file.find(cost_key(artifact, "onnx", 1)) is None
    load_model(artifact, LoadOptions(lanes=2, cost_file=file))
    known = file.find(cost_key(artifact, "onnx", 1))
    assert known is not None
    assert known.points[0].rows == 1
    assert file.find(cost_key(artifact, "onnx", 2)) is None
    # Something that no measurement gives, and that is found again.
    file.keep(cost_key(artifact, "onnx", 1), CostCurve([CostPoint(7, 1.0)]))
    again = load_model(artifact, LoadOptions(lanes=2, cost_file=file))
    assert again.engine.core.cost is not None
    assert again.engine.core.cost.points == (CostPoint(7, 1.0),)


@pytest.mark.parametrize(
    "text",
    [
        "", "[", "[]", "null", "{}", '{"k": 3}', '{"k": []}', '{"k": [[1]]}', '{"k": [[0, 1.0]]}',
        '{"k": [[1, NaN]]}', '{"k": [[1, -1.0]]}', '{"k": [[2, 1.0], [1, 1.0]]}',
        '{"k": [["a", {}]]}', '{"k": [[1e999, 1]]}', '{"k": [[1, 1e-320]]}', '{"k": [[1e30, 1]]}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_a_file_that_says_nothing_sound_is_passed_over(text: str, tmp_path: Path) -> None:
    """Whatever stands in it, it is measured anew, and the file is written over."""
    path = tmp_path / "costs.json"
    path.write_text(text)
    file = CostFile(path)
    assert file.find("k") is None
    file.keep("k", AFFINE)
    found = file.find("k")
    assert found is not None
    assert found.points == AFFINE.points


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    """There is no such folder: nothing is remembered, and nothing raised."""
    file = CostFile(tmp_path / "nowhere" / "costs.json")
    file.keep("k", AFFINE)
    assert file.find("k") is None


class _Picky(OnnxBackend):
    """Runs its golden example, and nothing of any other size."""

    def run(
        self, inputs: Mapping[str, Array], states: Sequence[Array], lengths: npt.NDArray[np.int32]
    ) -> tuple[list[Array], list[Array]]:
        if len(lengths) != len(self.rows):
            raise ValueError("not so many rows")
        return super().run(inputs, states, lengths)

    rows = range(2)


def test_a_model_that_cannot_be_measured_is_served(tmp_path: Path) -> None:
    """It answers its golden example; it runs without lanes."""
    manifest, files = lstm().artifact()
    artifact = Repository(tmp_path).add(manifest, files)
    axis = manifest.spec.inputs[0].batch_axis
    assert axis is not None
    _Picky.rows = range(artifact.golden()["input.x"].shape[axis])
    assert len(_Picky.rows) > 1

    def make(artifact: Artifact, kind: ProgramKind, layout: RowLayout, place: Place) -> Backend:
        return _Picky(artifact, layout, threads=1)

    loaded = load_model(artifact, LoadOptions(lanes=2), make)
    assert loaded.engine.core.cost is None
    assert loaded.engine.core.scheduler.pace.num_runs == 1
