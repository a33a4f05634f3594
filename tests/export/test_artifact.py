"""`export_model` writes a complete artifact, proven in a fresh process, or nothing."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

import tests.export.cases.heads as heads
import tests.export.cases.models as zoo
import tests.export.cases.traps as traps
from carousel import export_model
from carousel.export.artifact import replay
from carousel.export.errors import ExportRefused
from carousel.export.progress import Progress
from carousel.models.artifact import Artifact, write_artifact
from carousel.models.repository import Repository, RepositoryError
from tests.harness.export_run import proven, run, zeros

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(8)
    return zoo.LearnedStart()


@pytest.fixture(scope="module")
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="module")
def artifact(
    module: nn.Module, said: io.StringIO, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Artifact]:
    root = tmp_path_factory.mktemp("repository")
    with Progress("learned", said) as progress:
        yield export_model(module, X, name="learned", repository=root, progress=progress)


def test_an_artifact_is_read_back_as_it_was_written(artifact: Artifact) -> None:
    """Every file is there with its checksum, and a repository opens it."""
    repository = Repository(artifact.folder.parents[1])
    opened = repository.open("learned")
    opened.verify()
    assert opened.version == 1
    assert opened.manifest == artifact.manifest
    assert set(opened.manifest.files) == {
        "model.onnx",
        "model.ts",
        "golden.safetensors",
        "initial.safetensors",
    }
    assert {each.name for each in artifact.folder.iterdir()} == {
        *opened.manifest.files,
        "manifest.json",
    }


def test_golden_values_come_from_the_original(artifact: Artifact, module: nn.Module) -> None:
    """They are the end of a longer run of the untouched module, begun at its own start."""
    golden = {name: torch.from_numpy(each.copy()) for name, each in artifact.golden().items()}
    assert set(golden) == {"input.x", "state.h", "output.output", "state_out.h"}
    assert isinstance(module, zoo.LearnedStart)
    with torch.no_grad():
        output, final = module.eval().gru(golden["input.x"], golden["state.h"])
    torch.testing.assert_close(golden["output.output"], output, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(golden["state_out.h"], final, atol=1e-6, rtol=1e-5)
    assert not torch.equal(golden["state.h"], torch.zeros_like(golden["state.h"]))


def test_initial_values_are_stored_in_session_shape(artifact: Artifact, module: nn.Module) -> None:
    """A learned start is one row's, without the batch axis."""
    assert isinstance(module, zoo.LearnedStart)
    (state,) = artifact.manifest.spec.states
    initial = torch.from_numpy(artifact.initial()["h"].copy())
    assert tuple(initial.shape) == state.session_shape == (1, 8)
    assert torch.equal(initial, module.h0.detach()[:, 0])


def test_the_parity_table_is_printed_and_stored(artifact: Artifact, said: io.StringIO) -> None:
    """Each program and check has its line, with the worst error and its bound."""
    text = said.getvalue()
    assert "learned version 1: streaming step" in text
    for case in artifact.manifest.parity.cases:
        assert any(
            line.split()[0] == case.program and case.check in line
            for line in text.splitlines()
            if line.strip()
        )
    for kind, program in artifact.manifest.programs.items():
        errors = [c.error for c in artifact.manifest.parity.cases if c.program == kind]
        assert program.max_error == max(errors)


def test_an_export_again_writes_the_next_version_with_the_same_state_id(
    artifact: Artifact, module: nn.Module
) -> None:
    """Equal weights keep sessions alive; the version before stays as it was."""
    root = artifact.folder.parents[1]
    again = export_model(module, X, name="learned", repository=str(root), quiet=True)
    assert again.version == 2
    assert again.manifest.state_id == artifact.manifest.state_id
    artifact.verify()
    assert again.read("model.onnx") == artifact.read("model.onnx")


def test_other_weights_and_other_states_have_another_state_id() -> None:
    """One bit of one weight is enough; so is another state in the same weights."""
    torch.manual_seed(9)
    module = zoo.Explicit()
    before = proven(module, X).manifest.state_id
    assert proven(module, X).manifest.state_id == before
    with torch.no_grad():
        module.fc.bias[0] = torch.nextafter(module.fc.bias[0], torch.tensor(9.0))
    assert proven(module, X).manifest.state_id != before
    batched, one = proven(nn.GRU(6, 8), X), proven(nn.GRU(6, 8), X[:, :1])
    assert batched.manifest.state_id != one.manifest.state_id


def test_refused_exports_write_nothing(tmp_path: Path) -> None:
    """No folder, no staging, no half an artifact."""
    with pytest.raises(ExportRefused):
        export_model(traps.RandomStart(), X, name="random", repository=tmp_path, quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_name_that_cannot_be_one_is_refused_at_once(tmp_path: Path) -> None:
    """Names are checked before any work is done."""
    with pytest.raises(RepositoryError, match="cannot be a model's name"):
        export_model(heads.LastStep(), X, name="../evil", repository=tmp_path, quiet=True)


@pytest.mark.parametrize("file", ["model.onnx", "model.ts"])
def test_the_fresh_process_finds_a_program_that_answers_differently(
    file: str, tmp_path: Path
) -> None:
    """A program of other weights is not let through by its checksum alone."""
    torch.manual_seed(10)
    made, other = proven(heads.LastStep(), X), proven(heads.LastStep(), X)
    write_artifact(tmp_path, made.manifest, {**made.files, file: other.files[file]})
    with pytest.raises(ExportRefused, match="in a fresh process"):
        replay.check(made.manifest.name, tmp_path)


def test_the_fresh_process_lets_a_sound_artifact_through(tmp_path: Path) -> None:
    """Both programs of a bidirectional, projected, packed world answer as the original did."""
    made = proven(nn.LSTM(6, 8, 2, proj_size=3, bidirectional=True), X)
    write_artifact(tmp_path, made.manifest, made.files)
    replay.check(made.manifest.name, tmp_path)


def test_external_data_is_never_written() -> None:
    """The ONNX program is one file that stands alone."""
    model = onnx.load_model_from_string(proven(zoo.TwoLayers(), X).files["model.onnx"])
    assert not any(
        each.data_location == onnx.TensorProto.EXTERNAL for each in model.graph.initializer
    )


def test_onnx_programs_hold_no_path_of_the_machine() -> None:
    """No source line, folder or user name travels with the program."""
    made = proven(heads.LastStep(), X)
    assert str(Path(__file__).parent).encode() not in made.files["model.onnx"]
    assert b"site-packages" not in made.files["model.onnx"]


def test_one_value_under_two_names_is_two_outputs() -> None:
    """What forward returns may be its state as well: each name gives its own tensor."""
    made = proven(zoo.ReturnsState(), X)
    answer = run(made, "onnx", {"x": X}, zeros(made, 4), [5] * 4)
    assert torch.equal(answer.outputs["output_1"], answer.states["h"])


def test_states_keep_their_place_whatever_their_names() -> None:
    """Pairs are written down, not sorted: `tools`, programs and states name each other."""
    made = proven(zoo.TwoLayers(), X)
    graph = onnx.load_model_from_string(made.files["model.onnx"]).graph
    spec = made.manifest.spec
    assert [each.name for each in graph.input[1:4]] == [each.name for each in spec.states]
    assert [each.name for each in graph.output[1:]] == [each.output for each in spec.states]
    assert replace(spec, streaming="none").states == spec.states


def test_what_ends_the_fresh_process_is_told_and_harms_no_other(tmp_path: Path) -> None:
    """A folder that holds no artifact; the next is replayed as ever."""
    with pytest.raises(ExportRefused, match="in a fresh process"):
        replay.check("nothing", tmp_path / "nowhere")
    made = proven(heads.LastStep(), X)
    write_artifact(tmp_path, made.manifest, made.files)
    replay.check(made.manifest.name, tmp_path)
