"""Ctrl-C ends the command with one sentence, wherever it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# Interrupts itself when the module that it is given begins to be imported, at no time of a clock.
_INTERRUPTED = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupts())
from carousel.export.__main__ import main
sys.exit(main(["import", "nowhere", "--name", "m", "--model-repository", "nowhere"]))
"""


@pytest.mark.parametrize("module", ["carousel.export.command.console", "numpy", "torch", "onnx"])
def test_ctrl_c_while_modules_are_imported_is_one_sentence(module: str, tmp_path: Path) -> None:
    """It takes a second or more until all are there."""
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, module],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.splitlines() == [
        "carousel-export: interrupted; what was not finished is not in the repository"
    ]
    assert done.returncode == 130
