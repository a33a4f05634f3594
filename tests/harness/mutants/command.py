"""Plants small changes, one at a time, in the modules that decide, and sees that the tests of each
module notice.

Everything happens in a copy of the repository. A run can be stopped with Ctrl-C or SIGTERM, after
the change it is at, and continued with the same --state.
"""

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.harness.mutants.equivalent import StaleEquivalent
from tests.harness.mutants.progress import ProgressError, load_progress
from tests.harness.mutants.report import Result, report, share
from tests.harness.mutants.run import Run
from tests.harness.mutants.subjects import SUBJECTS
from tests.harness.mutants.tree import BrokenTests, Tree

_ROOT = Path(__file__).resolve().parents[3]
_LEAST_SHARE = 0.95
_STOPPED = 3


def main() -> int:
    """0 when as many were caught as must be, 3 when it was stopped before; 1 when not as many, or
    where a module could not be tried.
    """
    options = _parse()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-")))
        state: Path = options.state or folder
        state.mkdir(parents=True, exist_ok=True)
        try:
            run = Run(Tree(_ROOT, folder), load_progress(state), state, _say)
        except ProgressError as error:
            _say(f"mutants: {error}")
            return 1

        def stop(*_: object) -> None:
            run.stopped = True
            _say("it stops after this change")

        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, stop)
        results: list[Result] = []
        faults: list[str] = []
        for name in options.only or SUBJECTS:
            try:
                result = run.go(name, SUBJECTS[name], options.match, options.sample, options.seed)
            except (BrokenTests, StaleEquivalent) as error:
                faults.append(f"{name}: {error}")
                _say(faults[-1])
            else:
                results.append(result)
        sys.stdout.write("\n".join([report(results), *faults]) + "\n")
        if run.stopped:
            return _STOPPED
        return int(bool(faults) or share(results) < _LEAST_SHARE)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.harness.mutants", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=SUBJECTS,
        metavar="MODULE",
        help=f"may be given several times (default: all of {', '.join(SUBJECTS)})",
    )
    parser.add_argument(
        "--sample", type=int, metavar="N", help="so many changes of a module (default: all)"
    )
    parser.add_argument(
        "--match", default="", metavar="TEXT", help="only changes whose function or line holds TEXT"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FOLDER",
        help="keeps the run, so that it can be continued (default: a folder that is removed)",
    )
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
