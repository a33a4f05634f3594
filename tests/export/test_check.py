"""`carousel-export check`, whether an artifact holds on this machine, and `inspect`, what would be
found.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from carousel import export_model
from carousel.export.__main__ import main
from carousel.models.artifact import Artifact


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """A small layer, exported."""
    layer = nn.GRU(4, 5, batch_first=True)
    return export_model(layer, torch.randn(2, 6, 4), name="m", repository=tmp_path, quiet=True)


def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and what was said."""
    code = main(["check", str(folder)])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_sound_artifact_holds(artifact: Artifact, capsys: pytest.CaptureFixture[str]) -> None:
    """With the error of each program, and what it was made with."""
    code, said = check(artifact.folder, capsys)
    assert code == 0, said
    for word in ("torchscript", "onnx ", f"torch        {torch.__version__} here", "allowed"):
        assert word in said


@pytest.mark.parametrize("file", ["model.onnx", "model.ts", "golden.safetensors"])
def test_an_altered_file_is_named(
    artifact: Artifact, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing of it is run."""
    path = artifact.folder / file
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    code, said = check(artifact.folder, capsys)
    assert code == 1
    assert file in said
    assert "Way out: " in said


@pytest.mark.parametrize("place", ["", "m", "m/7", "nowhere/1"])
def test_what_is_no_version_of_a_model_is_a_bad_value(
    artifact: Artifact, tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an example of what is."""
    code, said = check(tmp_path / place, capsys)
    assert code == 3
    assert "my-lstm/1" in said


def inspect(capsys: pytest.CaptureFixture[str], *given: str) -> tuple[int, str]:
    """The exit code, and what was said."""
    code = main(["inspect", *given])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_a_module_is_looked_at_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The screen of an export; it says that nothing was written."""
    monkeypatch.chdir(tmp_path)
    code, said = inspect(capsys, "torch.nn:Identity", "--input", "input=2,4")
    assert code == 0, said
    assert "nothing was written" in said
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_looked_at_as_an_import_would(
    artifact: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON too."""
    code, said = inspect(capsys, str(artifact.folder / "model.onnx"), "--json")
    assert code == 0, said
    report = json.loads(said)
    assert [each["name"] for each in report["states"]] == ["h"]
    assert report["streaming"] == "step"
    assert sorted(each.name for each in tmp_path.iterdir()) == [".versions", "m"]
