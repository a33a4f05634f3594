"""A virtual environment with the pinned torch, this project and the libraries of a group."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from benchmarks.field.group import Library

ROOT = Path(__file__).resolve().parents[2]

_INSTALL_S = 900
_MAX_TEXT = 300


class Environment:
    """One folder of the cache; what is installed in it already is left as it is."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "bin" / "python"
        self._folder = folder

    def __repr__(self) -> str:
        return f"<Environment {self._folder.name}>"

    def prepare(self) -> None:
        """Make it, with what the project needs; raises SubprocessError."""
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(self._folder)], check=True)
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        needs = [*settings["dependencies"], *settings["optional-dependencies"]["torch"]]
        self._pip(*needs).check_returncode()

    def install(self, library: Library) -> str | None:
        """Install a library beside the pinned packages; what pip says where that cannot be.

        Where its own requirements do not go with them, it comes without, and with what it needs to
        be imported.
        """
        done = self._pip(library.package)
        reason = _reason(done.stderr)
        if done.returncode != 0 and library.needs:
            done = self._pip("--no-deps", library.package)
        if done.returncode == 0 and library.needs:
            done = self._pip(*library.needs)
        for folder in library.without:
            for found in self._folder.glob(f"lib*/python*/site-packages/{folder}"):
                shutil.rmtree(found)
        return None if done.returncode == 0 else reason

    def run(self, arguments: list[str], limit_s: float, log: Path) -> int | None:
        """`python` in it with this project's code; its exit code, None past the time limit."""
        settings = os.environ | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        with log.open("w") as output:
            try:
                return subprocess.run(
                    [str(self.python), *arguments],
                    env=settings,
                    cwd=self._folder,
                    stdout=output,
                    stderr=output,
                    timeout=limit_s,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                return None

    def _pip(self, *packages: str) -> "subprocess.CompletedProcess[str]":
        command = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        return subprocess.run(
            [*command, "-c", str(ROOT / "constraints.txt"), *packages],
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )


def _reason(text: str) -> str:
    """Pip's own first line of error; its last line where it has none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    found = (errors or lines[-1:] or ["pip said nothing"])[0]
    return found.removeprefix("ERROR:").strip()[:_MAX_TEXT]
