"""What README.md shows, for tests that do as it says."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.live import Live

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
_PRINTED = "127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block_with(language: str, text: str) -> str:
    """The one block of a language that holds a text."""
    (found,) = (each for each in blocks(language) if text in each)
    return found


def run_script(script: str, folder: Path, live: Live | None = None) -> str:
    """What a script prints that must succeed; where it names a service, it asks that one."""
    if live is not None:
        assert _PRINTED in script
        script = script.replace(_PRINTED, live.url.removeprefix("http://"))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "client")))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
