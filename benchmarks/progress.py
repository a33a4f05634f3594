"""What a benchmark says while it goes on, and the exports that come before it."""

import subprocess
import sys
import time
from collections.abc import Sequence

_EXPORT_S = 600


def say(line: str) -> None:
    """One line with the time, beside the report."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()


def run_export(arguments: Sequence[str]) -> None:
    """`python -m` in a process of its own; raises SubprocessError."""
    say("python -m " + " ".join(arguments))
    subprocess.run(
        [sys.executable, "-m", *arguments], check=True, timeout=_EXPORT_S, stdout=sys.stderr
    )
