"""Tries what a hostile client may send: a million inputs to decoders, sockets and routes.

A run can be stopped with Ctrl-C or SIGTERM, after the piece it is at, and continued with the same
--state; the folder keeps inputs that were found, and what atheris reached.
"""

import argparse
import secrets
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.harness.fuzz.progress import Progress, ProgressError, load_progress
from tests.harness.fuzz.run import Run
from tests.harness.fuzz.table import table, write_page

_STOPPED = 3
_INPUTS, _QUICK_INPUTS = 1_000_000, 50_000


def main() -> int:
    """0 when all that is promised holds, 1 when not, 3 when it was stopped before."""
    options = _parse()
    with ExitStack() as stack:
        folder = options.state
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz-")))
        folder.mkdir(parents=True, exist_ok=True)
        goal = options.inputs or (_QUICK_INPUTS if options.quick else _INPUTS)
        try:
            progress = _prepare(folder, goal, options.seed)
        except ProgressError as error:
            _say(f"fuzz: {error}")
            return 1
        run = Run(progress, folder, _say)

        def stop(*_: object) -> None:
            run.stopped = True
            _say("it stops after this piece")

        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, stop)
        done = run.go()
        sys.stdout.write(f"{table(progress)}\n")
        if not done:
            return _STOPPED
        if options.page is not None:
            write_page(options.page, progress)
        return int(any(each.broken() for each in progress.done.values()))


def _prepare(folder: Path, goal: int, seed: int | None) -> Progress:
    """What `folder` holds of an earlier run, or a fresh beginning; raises ProgressError."""
    progress = load_progress(folder)
    if progress is None:
        return Progress(secrets.randbits(31) if seed is None else seed, goal)
    if progress.goal != goal:
        raise ProgressError(f"{folder} holds a run of {progress.goal} inputs, not of {goal}")
    return progress


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.harness.fuzz", description=__doc__)
    parser.add_argument(
        "--inputs", type=int, metavar="N", help=f"how many in all (default {_INPUTS})"
    )
    parser.add_argument("--quick", action="store_true", help=f"{_QUICK_INPUTS} inputs")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FOLDER",
        help="keeps the run, so that it can be continued (default: a folder that is removed)",
    )
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="a page that takes the table of a whole run"
    )
    parser.add_argument("--seed", type=int, help="of what is random (default: a random one)")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
