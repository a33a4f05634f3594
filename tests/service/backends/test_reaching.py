"""A program that reaches outside of itself is refused before any of it has run."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from carousel.models.manifest import ProgramKind
from carousel.models.onnx_file import OnnxRefused, check_onnx
from carousel.models.repository import Repository
from carousel.service.backends.base import BackendRefused
from carousel.service.engine.loaded_model import LoadedModel, LoadOptions, load_model
from tests.harness.layouts import LAYOUTS
from tests.harness.live import Live
from tests.harness.process import PATHS
from tests.harness.reaching import (
    PLACES,
    Sums,
    Warns,
    calling_onnx,
    external_onnx,
    reaching_scripts,
    script_bytes,
    zeros_file,
)

SCRIPTS = tuple(reaching_scripts(Path("target")))


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A working directory that holds what programs would read."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def _add(root: Path, kind: ProgramKind, data: bytes, name: str = "tiny") -> None:
    manifest, files = LAYOUTS["batch axis 0, last"]().artifact(name=name, kinds=(kind,))
    files[manifest.programs[kind].file] = data
    Repository(root).add(manifest, files)


def _load(root: Path) -> LoadedModel:
    return load_model(Repository(root).open("tiny"), LoadOptions())


@pytest.mark.parametrize("what", SCRIPTS)
def test_a_script_that_reaches_out_is_refused(
    tmp_path: Path, elsewhere: Path, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """By the operator or class that would do it, and neither a file nor a word is written."""
    data, words = reaching_scripts(elsewhere / "written")[what]
    _add(tmp_path / "models", "torchscript", data)
    with pytest.raises(BackendRefused, match=r"model\.ts is refused: ") as refused:
        _load(tmp_path / "models")
    assert words in str(refused.value)
    assert list(elsewhere.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_a_script_of_torch_s_own_operators_is_served(tmp_path: Path) -> None:
    """What the others were made of passes."""
    _add(tmp_path, "torchscript", script_bytes(Sums()))
    assert _load(tmp_path).program == "torchscript"


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", b"\0\0\0\0ORTM" * 9],
    ids=["nothing", "a cut archive", "a pickle", "ONNX Runtime's own form"],
)
@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_a_file_that_is_no_program_is_refused(
    tmp_path: Path, kind: ProgramKind, data: bytes
) -> None:
    """As any other program that will not load."""
    _add(tmp_path, kind, data)
    with pytest.raises(BackendRefused, match=r"model\.(onnx|ts)"):
        _load(tmp_path)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("absolute", [False, True])
def test_an_onnx_program_whose_numbers_lie_elsewhere_is_refused(
    tmp_path: Path, elsewhere: Path, place: str, absolute: bool
) -> None:
    """Wherever in it they should stand, and whatever way leads to them."""
    path = zeros_file(elsewhere)
    data = external_onnx(place, str(path) if absolute else path.name)
    _add(tmp_path / "models", "onnx", data)
    with pytest.raises(BackendRefused, match="the weight 'w' lies in another file"):
        _load(tmp_path / "models")


@pytest.mark.parametrize(
    "data",
    [calling_onnx(40), calling_onnx(900), calling_onnx(1100), calling_onnx(3, itself=True)],
    ids=["of 2^40 nodes", "of 2^900 nodes", "of many functions", "without end"],
)
def test_functions_that_become_too_many_nodes_are_refused(tmp_path: Path, data: bytes) -> None:
    """At once, where the runtime would write them out for hours; a few of them are served."""
    _add(tmp_path, "onnx", data)
    with pytest.raises(BackendRefused, match=r"model\.onnx is refused: .*functions"):
        _load(tmp_path)
    _add(tmp_path, "onnx", calling_onnx(5))
    assert _load(tmp_path).version == 2


@pytest.mark.parametrize("place", PLACES)
def test_every_cut_of_an_onnx_program_is_refused(place: str) -> None:
    """No place at which the file ends hides what is in front of it, and none is a traceback."""
    data = external_onnx(place)
    for end in range(len(data)):
        try:
            check_onnx(data[:end])
        except OnnxRefused:
            continue
        # Cut between two fields of the model itself it is whole, and lacks the weight.
        assert b"beside.bin" not in data[:end]


def test_a_service_refuses_both_by_name(tmp_path: Path, elsewhere: Path) -> None:
    """In its working directory lies what they ask for: both are refused, the others are served, and
    nothing is written.
    """
    zeros_file(elsewhere)
    script, _ = reaching_scripts(elsewhere / "written")["a file that forward reads"]
    _add(tmp_path / "models", "onnx", external_onnx("subgraph"), "outside")
    _add(tmp_path / "models", "torchscript", script, "writes")
    _add(tmp_path / "models", "torchscript", script_bytes(Sums()), "sound")
    with Live(tmp_path / "models", env=PATHS, cwd=elsewhere) as service:
        ready = service.client.get("/readyz")
        assert ready.status_code == 200
        reasons = {each["model"]: each["reason"] for each in ready.json()["refused"]}
        assert sorted(reasons) == ["outside", "writes"]
        assert "another file" in reasons["outside"]
        assert "aten::from_file" in reasons["writes"]
        answer = service.client.post("/v1/models/sound/infer", json={"sequences": [[[1, 2, 3]]]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["outputs"] == [[2.0, 4.0, 6.0]]
    assert [each.name for each in elsewhere.iterdir()] == ["beside.bin"]


def test_a_script_writes_nothing_to_the_log(tmp_path: Path) -> None:
    """What a program warns of in each run does not bury what the service says."""
    _add(tmp_path, "torchscript", script_bytes(Warns()))
    with Live(tmp_path) as service:
        for steps in range(1, 4):
            sequence = {"sequences": [[[1, 2, 3]] * steps]}
            assert service.client.post("/v1/models/tiny/infer", json=sequence).status_code == 200
        assert not any("flood" in line for line in service.logs)
