"""Kills the service with SIGKILL under load and starts it again, or gives its answers up, and
checks that a step answered with 200 is never lost and a retry that names its position never
counts twice.

Clients feed sessions of the witness, whose outputs are exact running sums, and keep their own sums
beside it. A run can be stopped with Ctrl-C or SIGTERM and continued with the same --state; the
first answer that is not the one right one ends it with the history of its session.
"""

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvloop

from tests.harness.chaos.progress import Progress, ProgressError, load_progress
from tests.harness.chaos.run import Goal, Run
from tests.harness.chaos.truth import Violation
from tests.harness.chaos.victim import Victim
from tests.harness.redis_server import RedisMissing, RedisServer
from tests.harness.witness import export_witness

_STOPPED = 3
_COUNTS = {
    "kills": "kills of the service under load",
    "steps": "time steps that must be acknowledged",
    "timeouts": "steps whose client gives up and sends them again",
}
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def prepare(store: str, folder: Path, seed: int | None = None) -> Progress:
    """What `folder` holds of an earlier run, or a fresh beginning there, the witness exported.

    `store`: sqlite, redis or memory. Raises ProgressError where the folder is another store's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    progress = load_progress(folder)
    if progress is None:
        progress = Progress(store, secrets.randbits(32) if seed is None else seed)
    elif progress.store != store:
        raise ProgressError(f"{folder} holds a run on {progress.store}, not on {store}")
    elif seed not in (None, progress.seed):
        raise ProgressError(f"{folder} holds a run with the seed {progress.seed}, not {seed}")
    export_witness(folder / "repository")
    return progress


@contextmanager
def serving_store(store: str, folder: Path) -> Iterator[str]:
    """What the service is told as its --store; a Redis server runs meanwhile. Raises
    RedisMissing.
    """
    with ExitStack() as stack:
        if store == "redis":
            data = folder / "redis"
            redis = stack.enter_context(RedisServer(data, mark=data / "redis.pid"))
            # Its data is there for the next run.
            stack.callback(redis.stop)
            yield redis.url
        elif store == "sqlite":
            yield f"sqlite:{(folder / 'sessions.sqlite').resolve()}"
        else:
            yield store


async def attack(
    goal: Goal,
    progress: Progress,
    folder: Path,
    say: Callable[[str], None],
    *,
    stops_on: Sequence[signal.Signals] = (),
) -> bool:
    """Bring `progress` to its goal; False if a signal stopped it before. Raises Violation."""
    with serving_store(progress.store, folder) as url:
        run = Run(goal, progress, folder, Victim(folder, url, progress.seed))
        loop = asyncio.get_running_loop()
        for each in stops_on:
            loop.add_signal_handler(each, run.stop)
        await run.go(say)
        return run.is_done


def main() -> int:
    """0 when the goal is reached, 1 after a violation, 3 when it was stopped before."""
    options = _parse()
    goal = Goal(options.kills, options.steps, options.timeouts, options.clients, options.max_rows)
    with ExitStack() as stack:
        folder = options.state
        if folder is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        try:
            progress = prepare(options.store, folder, options.seed)
            attacked = attack(goal, progress, folder, _say, stops_on=_STOP_SIGNALS)
            done = uvloop.run(attacked)
        except (ProgressError, RedisMissing) as error:
            _say(f"chaos: {error}")
            return 1
        except Violation as violation:
            return _report(violation, progress, options.state)
    word = "done" if done else "stopped, to be continued with the same command:"
    sys.stdout.write(f"chaos: {word} {_summary(progress)}\n")
    return 0 if done else _STOPPED


def _report(violation: Violation, progress: Progress, folder: Path | None) -> int:
    sys.stderr.write(f"{violation}\n")
    if folder is not None:
        (folder / "violation.txt").write_text(f"{violation}\n")
    sys.stdout.write(f"chaos: VIOLATION {_summary(progress)}\n")
    return 1


def _summary(progress: Progress) -> str:
    return (
        f"store={progress.store} {progress.tally} seconds={progress.seconds:.0f} "
        f"runs={progress.runs} seed={progress.seed}"
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.harness.chaos", description=__doc__)
    parser.add_argument(
        "--store",
        choices=("sqlite", "redis", "memory"),
        default="sqlite",
        help="where the service keeps its sessions; redis: a redis-server is started for it; "
        "memory forgets all at a kill, and is seen to (default sqlite)",
    )
    for name, meaning in _COUNTS.items():
        parser.add_argument(f"--{name}", type=int, default=0, metavar="N", help=meaning)
    parser.add_argument("--clients", type=int, default=32, metavar="N", help="clients (default 32)")
    parser.add_argument(
        "--max-rows",
        type=int,
        default=1000,
        metavar="N",
        help="time steps a request (default 1000)",
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FOLDER",
        help="keeps the run, so that it can be continued (default: a folder that is removed)",
    )
    parser.add_argument("--seed", type=int, help="of what is random (default: a random one)")
    options = parser.parse_args()
    if not (options.kills or options.steps or options.timeouts):
        parser.error("say what is to be reached: --kills, --steps or --timeouts")
    return options


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
