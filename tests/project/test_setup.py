"""What `make setup` installs, with stand-ins for pip and uv: nothing is fetched or built."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILES = (
    *("Makefile", "pyproject.toml", "client/pyproject.toml"),
    *("constraints.txt", "install_torch.py"),
)
# What the real one says, without the host's name.
UNREACHABLE = """2 error: Request failed after 1 retry in 1.4s
  cause: Failed to fetch: an address
  cause: client error (Connect)
  cause: failed to lookup address information: Name or service not known
"""
NO_SUCH_BUILD = """1 error: No solution found when resolving dependencies
  cause: Because there is no version of torch==2.13.0 and you require torch==2.13.0, ...
"""
NO_SUCH_WORD = """2 error: invalid value 'gpu' for '--torch-backend <TORCH_BACKEND>'
  [possible values: auto, cpu, cu126]

For more information, try '--help'.
"""
ALL = ["-e", "./client", "-e", ".[sessions,torch,dev]"]


class Clone:
    """The files that a set-up reads, and an environment whose pip and uv are stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.venv = folder / ".venv"
        (folder / "client").mkdir()
        for name in FILES:
            shutil.copy(ROOT / name, folder / name)
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", self.venv], check=True, timeout=60
        )
        (self.packages,) = self.venv.glob("lib/python*/site-packages")
        (self.packages / "pip").mkdir()
        shutil.copy(ROOT / "tests/project/pip_stand_in.py", self.packages / "pip/__main__.py")
        shutil.copy(ROOT / "tests/project/uv_stand_in.py", self.venv)
        self.uv_answers("")

    def uv_answers(self, answer: str) -> None:
        """How uv fares from now on; see tests/project/uv_stand_in.py."""
        (self.venv / "uv.answer").write_text(answer)

    def no_uv(self) -> None:
        """The registry has no uv."""
        (self.venv / "uv_stand_in.py").unlink()

    def make(self, *words: str, succeeds: bool = True, **variables: str) -> list[str]:
        """The lines that `make setup` prints, on stderr too where it fails; make's own left out."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("UV_", "TORCH_BACKEND", "MAKE", "MFLAGS"))
        }
        done = subprocess.run(
            ["make", "--no-print-directory", "setup", f"PYTHON={sys.executable}", *words],
            cwd=self.folder,
            env=kept | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode == 0) is succeeds, done.stdout + done.stderr
        if succeeds:
            assert done.stderr == ""
        lines = (done.stdout + done.stderr).splitlines()
        return [line for line in lines if not line.startswith("make: ")]

    def torch(self) -> list[str]:
        """What is installed of PyTorch."""
        found = sorted(self.packages.glob("torch-*.dist-info"))
        return [each.name.removeprefix("torch-").removesuffix(".dist-info") for each in found]

    def pip_calls(self) -> list[list[str]]:
        """What pip was asked, without the words that say how loud it is; then it is forgotten."""
        return [
            [word for word in call if word not in ("--disable-pip-version-check", "-qq")]
            for call in self._log("pip.log")
        ]

    def uv_calls(self) -> list[tuple[list[str], dict[str, str]]]:
        """What uv was asked, and how patient it was to be; then it is forgotten."""
        return [(arguments, patience) for arguments, patience in self._log("uv.log")]

    def _log(self, name: str) -> list[list[Any]]:
        file = self.venv / name
        if not file.exists():
            return []
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        file.unlink()
        return lines


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """A clone that was not set up yet."""
    return Clone(tmp_path)


def test_pytorch_is_the_cpu_build_without_a_word(clone: Clone) -> None:
    """uv brings the pinned version's CPU build, alone, and pip all else; two lines are printed."""
    printed = clone.make()
    assert clone.torch() == ["2.13.0+cpu"]
    assert printed == [
        "==> installing pinned dependencies, PyTorch among them (a minute or two)",
        "==> installed, with PyTorch 2.13.0+cpu",
    ]
    python = str(clone.venv / "bin/python")
    common = ["pip", "install", "--quiet", "--no-deps", "--python", python, "-c", "constraints.txt"]
    install = [*common, "--torch-backend", "cpu"]
    (look, patience), (installed, own_patience) = clone.uv_calls()
    assert (look, installed) == ([*install, "--dry-run", "torch"], [*install, "torch"])
    # A look is bounded to seconds, and what takes minutes is left to uv's own patience.
    assert patience.keys() == {"UV_HTTP_RETRIES", "UV_HTTP_CONNECT_TIMEOUT", "UV_HTTP_TIMEOUT"}
    assert (int(patience["UV_HTTP_RETRIES"]) + 1) * int(patience["UV_HTTP_TIMEOUT"]) <= 20
    assert own_patience == {}
    for call in clone.pip_calls():
        assert call[call.index("-c") + 1] == "constraints.txt"


def test_what_is_set_up_is_left_alone(clone: Clone) -> None:
    """A second time nothing runs; after new pins uv is not asked for the PyTorch that is there."""
    clone.make()
    clone.uv_calls()
    clone.pip_calls()
    assert clone.make() == []
    os.utime(clone.folder / "constraints.txt")
    clone.make()
    assert clone.uv_calls() == []
    first, last = clone.pip_calls()
    assert (first[-2:], last[-4:]) == (["constraints.txt", "setuptools"], ALL)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (UNREACHABLE, "failed to lookup address information: Name or service not known"),
        (NO_SUCH_BUILD, "there is none of the pinned version for this machine"),
        ("2 ", "uv failed"),
    ],
)
def test_pip_steps_in_where_the_build_cannot_be_had(clone: Clone, answer: str, reason: str) -> None:
    """One line says why; nothing of uv's own words; and pip brings what it would have brought."""
    clone.uv_answers(answer)
    assert clone.make()[1:] == [
        f"==> no cpu build of PyTorch, so pip's usual one: {reason}",
        "==> installed, with PyTorch 2.13.0",
    ]
    assert len(clone.uv_calls()) == 1
    assert clone.pip_calls()[-1][-4:] == ALL


def test_pip_steps_in_where_there_is_no_uv(clone: Clone) -> None:
    """A registry without uv: the same, and it is not looked for as source."""
    clone.no_uv()
    assert clone.make()[1:] == [
        "==> no cpu build of PyTorch, so pip's usual one: pip finds no uv to install it with",
        "==> installed, with PyTorch 2.13.0",
    ]
    (asked,) = (call for call in clone.pip_calls() if call[-1] == "uv")
    assert asked[asked.index("--only-binary") + 1] == "uv"


def test_a_named_build_is_installed_and_stays(clone: Clone) -> None:
    """TORCH_BACKEND=cu126 goes over the build that is there; later set-ups without it keep it."""
    clone.make()
    clone.uv_calls()
    clone.make("TORCH_BACKEND=cu126")
    assert clone.torch() == ["2.13.0+cu126"]
    assert all("--reinstall-package" in call for call, _ in clone.uv_calls())
    assert clone.make() == []
    assert clone.make(TORCH_BACKEND="cu126") == []
    os.utime(clone.folder / "pyproject.toml")
    clone.make()
    assert clone.uv_calls() == []
    assert clone.torch() == ["2.13.0+cu126"]
    clone.make(TORCH_BACKEND="cpu")
    assert clone.torch() == ["2.13.0+cpu"]
    clone.make("TORCH_BACKEND=cu126")
    assert clone.torch() == ["2.13.0+cu126"]


def test_a_new_pin_keeps_the_build(clone: Clone) -> None:
    """An environment with a build for CUDA gets the new version's build for the same CUDA."""
    clone.make("TORCH_BACKEND=cu126")
    pins = clone.folder / "constraints.txt"
    pins.write_text(pins.read_text().replace("torch==2.13.0", "torch==2.14.0"))
    clone.make()
    assert clone.torch() == ["2.14.0+cu126"]


def test_pip_is_a_build_too(clone: Clone) -> None:
    """TORCH_BACKEND=pip does without uv."""
    assert clone.make("TORCH_BACKEND=pip")[1:] == ["==> installed, with PyTorch 2.13.0"]
    assert [call[-1] for call in clone.pip_calls()] == ["setuptools", ALL[-1]]


@pytest.mark.parametrize(
    ("build", "answer", "reason"),
    [
        ("gpu", NO_SUCH_WORD, "expected cpu, auto, pip, or a version of CUDA as in cu126"),
        ("cu118", NO_SUCH_BUILD, "there is none of the pinned version for this machine"),
        ("cu126", UNREACHABLE, "failed to lookup address information: Name or service not known"),
    ],
)
def test_a_named_build_that_cannot_be_had_is_refused(
    clone: Clone, build: str, answer: str, reason: str
) -> None:
    """Nothing else is put in its place, and the next try is a try."""
    clone.uv_answers(answer)
    printed = clone.make(f"TORCH_BACKEND={build}", succeeds=False)
    assert (
        printed[1] == f"TORCH_BACKEND={build}: {reason}. TORCH_BACKEND=pip takes pip's usual build."
    )
    assert clone.torch() == []
    clone.uv_answers("")
    clone.make(f"TORCH_BACKEND={build}")
    assert clone.torch() == [f"2.13.0+{build}"]


def test_a_failed_download_is_no_reason_for_another_build(clone: Clone) -> None:
    """uv's words are shown, the set-up fails, and the next one starts where this one ended."""
    clone.uv_answers("install 2 error: the disk is full\n")
    printed = clone.make(succeeds=False)
    assert "error: the disk is full" in printed
    assert any(line.startswith("The cpu build of PyTorch could not be") for line in printed)
    assert [call[-1] for call in clone.pip_calls()] == ["setuptools", "uv"]
    clone.uv_answers("")
    clone.make()
    assert clone.torch() == ["2.13.0+cpu"]


@pytest.mark.parametrize("answer", ["", UNREACHABLE])
@pytest.mark.parametrize("is_set_up", [False, True])
def test_half_a_pytorch_is_not_taken_for_a_whole_one(
    clone: Clone, is_set_up: bool, answer: str
) -> None:
    """What a killed uv left is taken away before anything is installed, by uv or by pip."""
    if is_set_up:
        clone.make()
    clone.uv_answers("install killed\n")
    clone.make("TORCH_BACKEND=cu126", succeeds=False)
    (half,) = clone.packages.glob("torch-*.dist-info")
    assert not (half / "RECORD").exists()
    clone.pip_calls()
    clone.uv_answers(answer)
    clone.make()
    assert clone.pip_calls()[1] == ["uninstall", "--yes", "torch"]
    assert clone.torch() == ["2.13.0" if answer else "2.13.0+cpu"]


def test_an_environment_without_pip_is_made_again(clone: Clone) -> None:
    """What an interrupted `python -m venv` left is no dead end."""
    shutil.rmtree(clone.packages / "pip")
    assert clone.make("PYTHONS=true", succeeds=False)[0].startswith("==> making .venv with")


def test_help_says_what_can_be_chosen() -> None:
    """The port and the build are in `make help`."""
    lines = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout.splitlines()
    assert any("make serve" in line and "PORT=" in line for line in lines)
    assert any("make setup" in line and "TORCH_BACKEND=" in line for line in lines)


@pytest.mark.parametrize("name", [*FILES, "Dockerfile", "docker-compose.yml"])
def test_no_registry_has_its_address_here(name: str) -> None:
    """Where packages come from is up to pip, uv and their users."""
    addresses = re.findall(r"https?://[^/:\s]+", (ROOT / name).read_text())
    assert set(addresses) <= {"http://127.0.0.1"}
