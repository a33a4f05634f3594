"""What an export says on success: one screen, the same in a notebook, and as JSON."""

import io
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import tests.export.cases.heads as heads
import tests.export.cases.models as zoo
import tests.export.cases.windows as windows
from carousel import export_model
from carousel.export.__main__ import main
from carousel.export.progress import Progress
from carousel.models.artifact import Artifact
from carousel.models.report import Report
from carousel.models.repository import Repository
from tests.export.imported.foreign.models import FOREIGN
from tests.harness.export_run import proven
from tests.harness.recorded import RECORDED

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))
SCREEN = 40  # lines of a terminal that is not small


def _report(module: nn.Module, *example: torch.Tensor) -> Report:
    torch.manual_seed(1)
    return Report.of(proven(module, *example).manifest, 1, Path("models"))


@pytest.fixture(scope="module")
def said() -> io.StringIO:
    """What the export below writes."""
    return io.StringIO()


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, said: io.StringIO) -> Artifact:
    """One export of a module with two hidden layers."""
    torch.manual_seed(1)
    with Progress("two", said) as progress:
        return export_model(
            zoo.TwoLayers(),
            X,
            name="two",
            repository=tmp_path_factory.mktemp("said"),
            progress=progress,
        )


def test_one_screen_tells_what_was_found(artifact: Artifact, said: io.StringIO) -> None:
    """Inputs, states and where they come from, a step, streaming, batches, programs, what next."""
    text = artifact.report().text()
    assert said.getvalue().endswith(f"{text}\n")
    assert len(text.splitlines()) < SCREEN
    lines = {tuple(line.split()[:2]): line for line in text.splitlines()}
    assert "(batch, time, 6)" in lines["x", "float32"]
    hidden = lines["encoder.h", "float32"]
    assert "h of 'encoder' (GRU), hidden in forward; starts at zeros" in hidden
    assert "one for every step" in lines["output", "float32"]
    for words in (
        "two version 1: streaming step",
        "one step     one time step",
        "of mixed lengths (onnx)",
        "us a step on this machine",
        "POST /v1/models/two/infer",
        "POST /v1/sessions for streams",
        f"carousel-serve --model-repository {artifact.folder.parents[1]}",
    ):
        assert words in text


def test_a_notebook_shows_the_screen(artifact: Artifact) -> None:
    """As it is, with what HTML would read escaped."""
    shown = artifact._repr_html_()
    assert shown.startswith("<pre>two: what was found")
    assert "<" not in shown.removeprefix("<pre>").removesuffix("</pre>")


def test_json_holds_what_the_screen_says(artifact: Artifact) -> None:
    """Every part of it, by name."""
    found = json.loads(artifact.report().json())
    assert (found["name"], found["version"], found["streaming"]) == ("two", 1, "step")
    assert [each["name"] for each in found["states"]] == ["encoder.h", "head.h", "head.c"]
    program = artifact.manifest.programs["onnx"]
    (onnx,) = [each for each in found["programs"] if each["kind"] == "onnx"]
    assert onnx["max_error"] == program.max_error
    assert onnx["step_us"] == program.step_us
    assert {each["check"] for each in onnx["checks"]} >= {"whole", "rows", "chunks 1", "ragged"}


@pytest.mark.parametrize(
    ("module", "example", "words"),
    [
        (heads.LastStep(), X, ("streaming last", "one for the sequence")),
        (
            nn.GRU(6, 8, bidirectional=True),
            X,
            ("streaming none", "reads a sequence from both ends"),
        ),
        (zoo.CellLoop(), X, ("the program runs one at a time",)),
        (windows.Flattens(), torch.randn(4, 10, 3), ("no time axis", "10 steps")),
        (zoo.LearnedStart(), X, ("starts at the stored values", "a value of the module's own")),
    ],
)
def test_the_screen_says_what_kind_of_model_it_is(
    module: nn.Module, example: torch.Tensor, words: tuple[str, ...]
) -> None:
    """Last, whole only and why, loops, windows, states that are learned."""
    text = _report(module, example).text()
    for each in words:
        assert each in text


def test_a_frame_is_one_call() -> None:
    """A model without time axis, its state an argument."""
    text = _report(zoo.HandWrittenCell(), X[:, 0], torch.zeros(4, 8)).text()
    assert "one frame, one call of the program" in text
    assert "forward's h, returned as output.1; starts at zeros" in text


def test_a_note_is_said_once(artifact: Artifact) -> None:
    """However often it was met."""
    made = proven(nn.Conv1d(6, 3, 1), torch.randn(4, 6, 9)).manifest
    notes = Report.of(made, 1, Path("models")).notes
    assert notes
    assert len(set(notes)) == len(notes)


def test_artifacts_of_before_have_a_report() -> None:
    """What their manifests do not say is left out."""
    repository = Repository(RECORDED / "models")
    for name in repository.names():
        text = repository.open(name).report().text()
        assert f"{name} version 1: streaming" in text
        assert "None" not in text


def test_runs_that_would_take_seconds_are_left_out_and_said() -> None:
    """A hundred steps, with a hundred million weights; small sizes are run."""

    class Large(torch.nn.GRU):
        def parameters(self, recurse: bool = True):  # type: ignore[no-untyped-def]
            yield from super().parameters(recurse)
            yield torch.empty(10**8, device="meta")

    made = proven(Large(6, 8), X)
    notes = made.manifest.parity.skipped
    assert any("not run: B=1 T=100, for the 100,000,384 weights" in each for each in notes)
    sizes = {(each.batch, each.time) for each in made.manifest.parity.cases}
    assert {(1, 1), (3, 7), (33, 7)} <= sizes
    assert (33, 100) not in sizes


def test_an_import_says_the_same_way_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The screen for people, JSON for scripts; states with what showed them."""
    foreign = FOREIGN["predictor"]()
    path = foreign.write(tmp_path)
    place = ["--name", "m", "--model-repository", str(tmp_path / "models")]
    assert main(["import", str(path), *place, *foreign.flags, "--json"]) == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert [each["name"] for each in found["states"]] == ["h", "c"]
    assert "m version 1: streaming step" in captured.err
    assert "comes back as hn; by name" in captured.err
