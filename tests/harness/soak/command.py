"""Feeds a service for two hours with sessions that come and go, and tells how its memory grows in
the second.

A run can be stopped with Ctrl-C or SIGTERM and continued with the same --state. Each part has a
service of its own, and a slope of its own once it is warm: a part that is shorter than the warm-up
says nothing, and the verdict is the longest part's.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.harness.chaos.command import serving_store
from tests.harness.redis_server import RedisMissing
from tests.harness.soak.memory import slope_mb_per_hour
from tests.harness.soak.progress import Progress, ProgressError, load_progress
from tests.harness.soak.run import Run

_STOPPED = 3
_MAX_SLOPE = 1.0
# What an ended sequence leaves is kept for eleven minutes, and the interpreter's pools take some
# times that until they are as large as they get.
_WARM_UP_S = 3600.0


def main() -> int:
    """0 where memory holds still, 1 where it grows or something is wrong, 3 when stopped before."""
    options = _parse()
    with ExitStack() as stack:
        folder = options.state
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            progress = load_progress(folder) or Progress(options.store, options.seed)
            if progress.store != options.store:
                raise ProgressError(f"{folder} holds a run on {progress.store}")
            url = stack.enter_context(serving_store(options.store, folder))
        except (ProgressError, RedisMissing) as error:
            _say(f"soak: {error}")
            return 1
        goal_s, warm_up_s = options.minutes * 60, options.warm_up * 60
        run = Run(progress, folder, goal_s, warm_up_s, options.clients, options.pace)
        asyncio.run(_go(run, "sqlite" if options.store == "sqlite" else url))
        told, holds = verdict(progress, warm_up_s)
        sys.stdout.write(f"soak: {told}\n")
        if not run.is_done:
            return _STOPPED
        return 0 if holds else 1


async def _go(run: Run, store: str) -> None:
    def stop() -> None:
        run.stopped = True

    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop)
    await run.go(store, _say)


def verdict(progress: Progress, warm_up_s: float) -> tuple[str, bool]:
    """What a run came to, and whether it holds what is promised."""
    longest = max(progress.parts, key=lambda part: part[-1].at_s if part else 0.0, default=[])
    slope = slope_mb_per_hour(longest, warm_up_s)
    told = "too short to say" if slope is None else f"{slope:+.2f} MB an hour after the warm-up"
    acts = ", ".join(f"{number:,} {name}" for name, number in sorted(progress.counts.items()))
    ends = f"{longest[0].rss_mb:.1f} to {longest[-1].rss_mb:.1f} MB" if longest else "no sample"
    text = f"{progress.store}, {progress.seconds / 60:.0f} min: {told}; {ends}; {acts}"
    text += "".join(f"\n  {each}" for each in progress.findings)
    return text, slope is not None and slope < _MAX_SLOPE and not progress.findings


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.harness.soak", description=__doc__)
    parser.add_argument(
        "--store", choices=("sqlite", "redis", "memory"), default="sqlite",
        help="where the service keeps its sessions (default sqlite)",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, default=120.0, metavar="N", help="in all (default 120)"
    )
    parser.add_argument(
        "--warm-up", type=float, default=_WARM_UP_S / 60, metavar="N",
        help="minutes of each part that are not counted (default 60)",
    )  # fmt: skip
    parser.add_argument("--clients", type=int, default=8, metavar="N", help="clients (default 8)")
    parser.add_argument(
        "--pace", type=float, default=100.0, metavar="N",
        help="acts a second, of all clients together (default 100)",
    )  # fmt: skip
    parser.add_argument(
        "--state", type=Path, metavar="FOLDER",
        help="keeps the run, so that it can be continued (default: a folder that is removed)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="of what is random (default 1)")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
