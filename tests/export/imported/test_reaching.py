"""A file that reaches outside of itself is not run at its import, and not by a check of its
artifact.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from carousel.export.__main__ import main
from carousel.models.manifest import ProgramKind
from carousel.models.repository import Repository
from tests.export.imported.advice import check_words, refusal
from tests.export.imported.outcome import run_import
from tests.harness.layouts import LAYOUTS
from tests.harness.reaching import (
    PLACES,
    Sums,
    external_onnx,
    reaching_scripts,
    script_bytes,
    zeros_file,
)

X = ("--input", "x:float32:batch,time,3", "--input", "s:float32:batch,3")
SCRIPTS = tuple(reaching_scripts(Path("target")))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A working directory that is watched."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.mark.parametrize("what", SCRIPTS)
def test_a_script_that_reaches_out_is_not_loaded(
    tmp_path: Path, elsewhere: Path, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is refused by what it would do, before any of it runs."""
    data, words = reaching_scripts(elsewhere / "written")[what]
    outcome = run_import(tmp_path, data, *X)
    assert outcome.code == 1
    check_words(outcome)
    # Whose source stands under another name it does not take for TorchScript.
    assert ("holds weights" if "case" in what else words) in refusal(outcome.said)
    assert list(elsewhere.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_what_they_are_made_of_is_imported(tmp_path: Path) -> None:
    """So it is what was added that is refused."""
    outcome = run_import(tmp_path, script_bytes(Sums()), *X, "--state", "s=output_1")
    assert outcome.artifact.manifest.spec.streaming == "last"


@pytest.mark.parametrize("place", PLACES)
def test_an_onnx_file_whose_numbers_lie_beside_it_is_refused(
    tmp_path: Path, elsewhere: Path, place: str
) -> None:
    """The file that it asks for stands beside it and in the working directory: neither is read."""
    zeros_file(elsewhere)
    zeros_file(tmp_path)
    outcome = run_import(tmp_path, external_onnx(place))
    assert outcome.code == 1
    check_words(outcome)
    assert "the weight 'w' lies in another file" in refusal(outcome.said)


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_a_check_runs_nothing_that_reaches_out(
    tmp_path: Path, elsewhere: Path, kind: ProgramKind, capfd: pytest.CaptureFixture[str]
) -> None:
    """`carousel-export check` of an artifact of others says what it would do, and does not."""
    zeros_file(elsewhere)
    manifest, files = LAYOUTS["batch axis 0, last"]().artifact(kinds=(kind,))
    script, _ = reaching_scripts(elsewhere / "written")["a file, while it is loaded"]
    program = external_onnx("subgraph") if kind == "onnx" else script
    files[manifest.programs[kind].file] = program
    artifact = Repository(tmp_path / "models").add(manifest, files)
    assert main(["check", str(artifact.folder)]) == 1
    said = "".join(capfd.readouterr())
    assert ("in another file" if kind == "onnx" else "__setstate__") in said
    assert [each.name for each in elsewhere.iterdir()] == ["beside.bin"]
