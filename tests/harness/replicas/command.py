"""Steps a few sessions on several replicas of the service that share one Redis, while replicas are
stopped, woken late and killed, connections to Redis suffer and Redis itself is killed; and checks
of each session that its whole history could have been one atomic session's.

The sessions are of the witness, whose outputs are exact running sums. The first history that no
order explains, and the first answer that the contract does not know, ends the run with it.
"""

import argparse
import asyncio
import secrets
import signal
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tests.harness.chaos.truth import Violation
from tests.harness.redis_server import RedisMissing, find_redis
from tests.harness.replicas.run import Plan, Run
from tests.harness.witness import export_witness

_COUNTS = {
    "replicas": ("services", 2),
    "sessions": ("sessions that clients share at a time", 3),
    "clients": ("clients", 12),
    "redis-kills": ("kills of Redis", 0),
}
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def attack(run: Run) -> None:
    """Run until the plan ends, or a signal does."""
    loop = asyncio.get_running_loop()
    for each in _STOP_SIGNALS:
        loop.add_signal_handler(each, run.stop)
    await run.go(_say)


def main() -> int:
    """0 when all was right, 1 after a violation, 2 where there is no Redis."""
    plan = _parse()
    try:
        find_redis()
    except RedisMissing as error:
        _say(f"replicas: {error}")
        return 2
    word = "done"
    with tempfile.TemporaryDirectory(prefix="replicas-") as name:
        folder = Path(name)
        export_witness(folder / "repository")
        run = Run(plan, folder, folder / "repository")
        try:
            uvloop.run(attack(run))
        except Violation as violation:
            sys.stderr.write(f"{violation}\n")
            word = "VIOLATION"
    sys.stdout.write(f"replicas: {word} {run.tally} seconds={run.seconds:.0f} seed={plan.seed}\n")
    return 0 if word == "done" else 1


def _parse() -> Plan:
    parser = argparse.ArgumentParser(prog="python -m tests.harness.replicas", description=__doc__)
    parser.add_argument("--seconds", type=float, metavar="N", help="how long")
    parser.add_argument("--operations", type=int, metavar="N", help="until so many are recorded")
    for name, (meaning, default) in _COUNTS.items():
        text = f"{meaning} (default {default})"
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=text)
    parser.add_argument(
        "--proxy", action="store_true", help="let the connections to Redis suffer as well"
    )
    parser.add_argument(
        "--break",
        dest="broken",
        metavar="NAME",
        help="serve with this promise broken, one of those in broken.py: a violation is due",
    )
    parser.add_argument("--seed", type=int, help="of what is random (default: a random one)")
    options = parser.parse_args()
    if options.seconds is None and options.operations is None:
        parser.error("say when it is to end: --seconds or --operations")
    return _plan(options)


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        seed=secrets.randbits(32) if options.seed is None else options.seed,
        seconds=options.seconds or float("inf"),
        operations=options.operations or float("inf"),
        num_replicas=options.replicas,
        num_sessions=options.sessions,
        num_clients=options.clients,
        proxy=options.proxy,
        redis_kills=options.redis_kills,
        module=("tests.harness.replicas.broken", options.broken) if options.broken else (),
    )


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
