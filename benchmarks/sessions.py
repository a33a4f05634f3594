"""What durable sessions cost: the session stores beside the memory store, many sessions in one
file, idle ones, and restarts.

Starts the service on each store on 127.0.0.1, checks its answers against eager PyTorch, and writes
the figures to bench-results/sessions.md and to the screen.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.findings import Findings
from benchmarks.idle import measure_idle
from benchmarks.load import LoadError
from benchmarks.plan import Plan
from benchmarks.process import ServerError
from benchmarks.progress import run_export, say
from benchmarks.restart import measure_restart
from benchmarks.sessions_report import render
from benchmarks.spread import measure_spread
from benchmarks.stores import measure_stores

_PARTS: dict[str, Callable[[Plan], Findings]] = {
    "stores": measure_stores,
    "spread": measure_spread,
    "restart": measure_restart,
    "idle": measure_idle,
}
_NUM_SESSIONS = 100_000
_QUICK_SESSIONS = 10_000


def main() -> int:
    """Run the benchmark; 1 if a server failed or answered wrong. A missed figure is not a
    failure.
    """
    if sys.platform != "linux":
        say("bench: cores are assigned and processes watched through Linux's own interfaces")
        return 1
    options = _parse()
    results: Path = options.results
    repository = results / "model-repository"
    try:
        run_export(["benchmarks.artifacts", str(repository)])
        with TemporaryDirectory(dir=results, prefix="sessions-") as scratch:
            plan = Plan(
                repository=repository,
                scratch=Path(scratch),
                logs=results / "logs",
                num_sessions=_QUICK_SESSIONS if options.quick else _NUM_SESSIONS,
                num_runs=options.runs,
                window_s=options.seconds,
                say=say,
            )
            parts = [part for part in _PARTS if part in (options.only or _PARTS)]
            report = render([_PARTS[part](plan) for part in parts], plan)
    except (ServerError, LoadError, subprocess.SubprocessError) as error:
        say(f"bench: {error}")
        return 1
    (results / "sessions.md").write_text(report)
    sys.stdout.write(report)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sessions", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help=f"one short run, with {_QUICK_SESSIONS:,} sessions"
    )
    parser.add_argument("--seconds", type=float, help="length of one run (default 3; quick: 1)")
    parser.add_argument("--runs", type=int, help="runs of each load (default 3; quick: 1)")
    parser.add_argument(
        "--only", action="append", choices=list(_PARTS), help="this part alone; may be repeated"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("bench-results"),
        help="folder for the report and, meanwhile, the session files (default bench-results)",
    )
    options = parser.parse_args()
    options.seconds = options.seconds or (1.0 if options.quick else 3.0)
    options.runs = options.runs or (1 if options.quick else 3)
    if options.seconds <= 0 or options.runs < 1:
        parser.error("--seconds must be above 0 and --runs at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
