"""How far answers may be off follows from the arithmetic of the file, and may be asked for."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from carousel.export.importer import import_model
from carousel.models.manifest import Program
from carousel.service.engine.loaded_model import LoadOptions, load_model
from tests.export.imported.foreign.files import Arrays, Foreign, farthest, load_script
from tests.export.imported.foreign.graphs import cell
from tests.export.imported.foreign.rounding import (
    AT_LENGTHS,
    ROUGHER,
    WIDE,
    rounded_at_lengths,
    rounded_in_batches,
    wide,
)
from tests.export.imported.outcome import Outcome, run_import
from tests.harness.live import Live


def program(outcome: Outcome) -> Program:
    """The program of the artifact."""
    return next(iter(outcome.artifact.manifest.programs.values()))


def drawn(rows: int, seed: int = 0) -> Arrays:
    """Frames and states of the cell."""
    rng = np.random.default_rng(seed)
    return {
        "x": rng.standard_normal((rows, 4)).astype(np.float32),
        "h": (0.3 * rng.standard_normal((rows, 6))).astype(np.float32),
    }


def file(data: bytes) -> Foreign:
    """The file as ONNX Runtime runs it."""
    return Foreign("m", data, {}, (), {}, {})


def test_the_file_is_what_it_is_said_to_be() -> None:
    """A row is over 1e-5 off in a batch, by the same among strangers as among copies of itself."""
    three = drawn(3)
    alone = file(rounded_in_batches()).run({name: each[1:2] for name, each in three.items()})["y"]
    among = file(rounded_in_batches()).run(three)["y"][1:2]
    copies = {name: np.repeat(each[1:2], 3, 0) for name, each in three.items()}
    own = file(rounded_in_batches()).run(copies)["y"][1:2]
    assert 1e-5 < farthest(alone, among) < 1e-4
    assert np.array_equal(among, own)


def test_rounding_is_no_neighbour(tmp_path: Path) -> None:
    """Rows that differ from themselves alone by what float32 loses share batches."""
    outcome = run_import(tmp_path, rounded_in_batches())
    spec = outcome.artifact.manifest.spec
    assert spec.has_batch, outcome.said
    assert {each.name: each.output for each in spec.states} == {"h": "hn"}
    load_model(outcome.artifact, LoadOptions())


def test_a_batch_that_is_said_is_not_refused_for_rounding(tmp_path: Path) -> None:
    """The old Silero file at 1,536 samples: its axes are given, and its rows are strangers."""
    flags = ("--input", "x:float32:batch,4", "--input", "h:float32:batch,6")
    outcome = run_import(tmp_path, rounded_in_batches(), *flags)
    assert outcome.artifact.manifest.spec.has_batch


def test_what_was_found_holds_in_the_manifest(tmp_path: Path) -> None:
    """The tolerance covers the largest error, is wider than that of exact files, and has an end."""
    found = program(run_import(tmp_path, rounded_in_batches()))
    assert found.max_error <= found.tolerance
    assert 1e-5 < found.tolerance <= 1e-4


def test_a_neighbour_is_heard_below_the_rounding(tmp_path: Path) -> None:
    """A leak of a mean that is smaller than what batches round is still one."""
    leak = 2e-5
    data = rounded_in_batches(leak=leak)
    three, other = drawn(3), drawn(3, seed=1)
    other["x"][1], other["h"][1] = three["x"][1], three["h"][1]
    other["x"] = np.multiply(other["x"], np.array([[100], [1], [100]], np.float32))
    moved = farthest(file(data).run(three)["y"][1], file(data).run(other)["y"][1])
    assert moved > 1e-5
    outcome = run_import(tmp_path, data)
    assert outcome.code == 1 or not outcome.artifact.manifest.spec.has_batch


def test_rounding_has_an_end(tmp_path: Path) -> None:
    """What is 1e-4 off shares no batch, and the reason is not its neighbours."""
    outcome = run_import(tmp_path, rounded_in_batches(ROUGHER))
    assert outcome.code == 1 or not outcome.artifact.manifest.spec.has_batch
    assert "depends on the rows beside it" not in outcome.said
    assert "round" in outcome.said


def test_large_sums_are_added_up_in_another_order(tmp_path: Path) -> None:
    """As torch does it for a file of 1,536 samples a frame."""
    module = load_script(wide())
    x = torch.randn(3, 1536, generator=torch.Generator().manual_seed(0))
    zero = torch.zeros(3, 64)
    with torch.no_grad():
        apart = (module(x, zero)[0][1] - module(x[1:2], zero[1:2])[0][0]).abs().max().item()
    if apart <= 1e-5:
        pytest.skip(f"this CPU adds up alike ({apart:.1e})")
    outcome = run_import(tmp_path, wide(), *WIDE)
    assert outcome.artifact.manifest.spec.has_batch


def test_chunks_are_held_to_what_float32_loses(tmp_path: Path) -> None:
    """In float64 chunks equal the whole, and the file is as far from that as from its chunks."""
    outcome = run_import(tmp_path, rounded_at_lengths(), *AT_LENGTHS)
    spec = outcome.artifact.manifest.spec
    assert spec.streaming == "step", spec.streaming_reason
    assert {each.name for each in spec.states} == {"h"}
    assert program(outcome).tolerance <= 1e-4


def test_chunks_that_forget_are_no_stream(tmp_path: Path) -> None:
    """A state of which each chunk loses a ten-thousandth is wrong in float64 too."""
    outcome = run_import(tmp_path, rounded_at_lengths(forgets=1e-3), *AT_LENGTHS)
    assert outcome.code == 1 or outcome.artifact.manifest.spec.streaming == "none"


def test_an_exact_file_has_the_tolerance_it_had(tmp_path: Path) -> None:
    """Manifests of models that are right today do not change."""
    assert program(run_import(tmp_path, cell())).tolerance == 1e-5


def test_a_tolerance_can_be_asked_for(tmp_path: Path) -> None:
    """It is in the manifest and in what is printed."""
    outcome = run_import(tmp_path, cell(), "--tolerance", "5e-5")
    assert program(outcome).tolerance == 5e-5
    assert "5e-05" in outcome.said or "5.0e-05" in outcome.said


def test_a_tolerance_can_be_asked_for_in_python(tmp_path: Path) -> None:
    """The same by import_model."""
    (tmp_path / "file").write_bytes(cell())
    made = import_model(
        tmp_path / "file", name="m", repository=tmp_path / "models", tolerance=5e-5, quiet=True
    )
    assert made.manifest.programs["onnx"].tolerance == 5e-5


def test_a_tolerance_that_is_narrow_is_kept_to(tmp_path: Path) -> None:
    """What the file rounds is more than was allowed: no batch, and never the wider tolerance."""
    outcome = run_import(tmp_path, rounded_in_batches(), "--tolerance", "1e-6")
    assert outcome.code == 1 or not outcome.artifact.manifest.spec.has_batch
    assert outcome.code == 1 or program(outcome).tolerance == 1e-6


@pytest.mark.parametrize("value", ["0", "-1e-5", "nan", "inf", "much", ""])
def test_a_tolerance_that_is_none_leaves_with_three(tmp_path: Path, value: str) -> None:
    """The flag is named, and what was expected."""
    outcome = run_import(tmp_path, cell(), f"--tolerance={value}")
    assert outcome.code == 3
    assert "--tolerance: " in outcome.said


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of a model whose tolerance was asked for."""
    folder = tmp_path_factory.mktemp("tolerance")
    with Live(run_import(folder, cell(), "--tolerance", "5e-5").repository) as live:
        yield live


def test_a_tolerance_is_in_what_the_service_says(service: Live) -> None:
    """/v1/models names it."""
    assert service.client.get("/v1/models/m").json()["parity"]["tolerance"] == 5e-5
