"""The wheel that people install, beside a training project with names of its own."""

import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from carousel.models.repository import Repository
from tests.harness.process import Ended

ROOT = Path(__file__).parents[2]

_PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")

_CRNN = """\
import torch
from torch import nn


class CRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]
"""

_TRAIN = """\
import torch

import export, models, models.crnn, service, tests
from carousel import export_model

assert all(each.__file__.startswith(FOLDER) for each in (export, models, service, tests))
export_model(
    models.crnn.CRNN(), (torch.randn(2, 5, 3),), name="trained", repository="repository", quiet=True
)
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """A fresh environment with the wheel, and a training project."""

    wheel: Path
    bin: Path
    project: Path

    def run(self, program: str, *arguments: str) -> str:
        """What a program of the environment prints in the project's folder; it must succeed."""
        done = self.end(program, *arguments)
        assert done.code == 0, done.out + done.err
        return done.out

    def end(self, program: str, *arguments: str) -> Ended:
        """What becomes of a program of the environment, run in the project's folder."""
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            cwd=self.project,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.project)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel of this tree; the libraries it needs are those of this environment."""
    folder = tmp_path_factory.mktemp("package")
    made = _wheel(_sources(folder), folder)
    fresh = folder / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", fresh], check=True, timeout=100)
    _install(fresh / "bin", made)
    # A line in a .pth file adds the folder alone: what links this tree into it is not followed.
    (packages,) = fresh.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return Environment(made, fresh / "bin", _project(folder / "project"))


def _wheel(sources: Path, folder: Path) -> Path:
    before = set(folder.glob("*.whl"))
    make = ("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder))
    subprocess.run([*_PIP, *make, sources], check=True, timeout=100, capture_output=True)
    (made,) = set(folder.glob("*.whl")) - before
    return made


def _install(place: Path, wheel: Path) -> None:
    command = (*_PIP, "--python", place / "python", "install", "--no-deps", wheel)
    subprocess.run(command, check=True, timeout=100, capture_output=True)


def _sources(folder: Path) -> Path:
    """What git has of the tree, so that building leaves nothing in it."""
    copy = folder / "sources"
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for file in filter(None, files):
        if file.startswith("tests/") or not (ROOT / file).exists():
            continue
        target = copy / file
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / file).is_symlink():
            target.symlink_to((ROOT / file).readlink())
        else:
            target.write_bytes((ROOT / file).read_bytes())
    return copy


def _project(folder: Path) -> Path:
    """A training project whose modules are called as our folders are."""
    for package in ("models", "tests"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    for module in ("models.py", "export.py", "service.py"):
        (folder / module).touch()
    (folder / "models" / "crnn.py").write_text(_CRNN)
    (folder / "train.py").write_text(_TRAIN.replace("FOLDER", repr(str(folder))))
    return folder


def test_the_wheel_has_one_name(installed: Environment) -> None:
    """Nothing but `carousel` goes into site-packages, with the data that it needs."""
    with zipfile.ZipFile(installed.wheel) as archive:
        names = archive.namelist()
    assert {each.partition("/")[0] for each in names if ".dist-info/" not in each} == {"carousel"}
    assert {"carousel/__init__.py", "carousel/models/spec.py"} <= set(names)
    assert {"carousel/models/zoo/sunspots.csv", "carousel/service/api/ops/static/stream.js"} <= set(
        names
    )


def test_a_training_project_keeps_its_names(installed: Environment) -> None:
    """Its models, export, service and tests are its own, and `carousel` exports its model."""
    installed.run("python", "train.py")
    assert Repository(installed.project / "repository").names() == ["trained"]


def test_the_command_takes_factories_from_the_project(installed: Environment) -> None:
    """`models.crnn:CRNN` is the project's, not ours."""
    place = ("--model-repository", "commanded", "--input", "x=2,5,3", "--quiet")
    installed.run("carousel-export", "models.crnn:CRNN", "--name", "crnn", *place)
    assert Repository(installed.project / "commanded").names() == ["crnn"]


@pytest.mark.parametrize("command", ["carousel-serve", "carousel-sessions"])
def test_the_other_commands_start(installed: Environment, command: str) -> None:
    """They import what they need from the wheel."""
    assert command in installed.run(command, "--help")


def test_the_client_is_an_extra(installed: Environment) -> None:
    """Without it, verbs that ask a service say in a line what to install, and those of a file work;
    with it they ask. Both packages are of one version.
    """
    with zipfile.ZipFile(installed.wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("/METADATA"))
        metadata = archive.read(name).decode()
    version = installed.wheel.name.split("-")[1]
    assert f'Requires-Dist: carousel-client=={version}; extra == "sessions"' in metadata
    remote = ("carousel-sessions", "list", "--url", "http://127.0.0.1:1")
    lacking = installed.end(*remote)
    assert (lacking.code, lacking.err.count("\n")) == (1, 1)
    assert "pip install 'carousel-serving[sessions]'" in lacking.err
    other = apsw.Connection(str(installed.project / "other"))
    other.execute("CREATE TABLE mine (x)")
    other.close()
    for verb, *more in (("check",), ("vacuum",), ("backup", "copy")):
        refused = installed.end("carousel-sessions", verb, "other", *more)
        assert (refused.code, "another application" in refused.err) == (1, True)
    made = _wheel(_sources(installed.project / "client") / "client", installed.project)
    assert made.name.split("-")[1] == version
    _install(installed.bin, made)
    assert "http://127.0.0.1:1 cannot be reached" in installed.end(*remote).err


def test_public_names_are_loaded_when_asked_for(installed: Environment) -> None:
    """`import carousel` costs no torch; a name it has not is an AttributeError."""
    script = (
        "import sys, carousel; assert 'torch' not in sys.modules; "
        "print(hasattr(carousel, 'nothing'), carousel.import_model.__name__)"
    )
    assert installed.run("python", "-c", script).split() == ["False", "import_model"]
