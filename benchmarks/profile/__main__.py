"""Where the microseconds of a step go, by stage: HTTP, WebSocket and columns, on the memory store
and on sqlite.

Starts services on 127.0.0.1, some with timers wrapped around their stages, and drives them in
turns. Exit code 1 where the stages do not explain, within 10 %, what the service takes without.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.artifacts import main as export
from benchmarks.cases import MEDIUM, SMALL, Case
from benchmarks.framing import LoadError
from benchmarks.process import Server, can_pin
from benchmarks.profile.measuring import Profile, Servers, measure, ways
from benchmarks.profile.report import legend, table, unexplained
from benchmarks.progress import say
from benchmarks.targets import serve_arguments
from tests.harness.process import ProcessError

_STORES = ("memory", "sqlite")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.profile",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="the small model alone, shorter")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carousel-profile-") as scratch:
        try:
            profiles = _measure_all(Path(scratch), quick=given.quick)
        except (ProcessError, LoadError) as error:
            say(f"profile: {error}")
            return 1
    said = [] if can_pin() else ["Server and load share cores here: the figures are not good."]
    said += [table(each) for each in profiles] + [legend()]
    sys.stdout.write("\n\n".join(said) + "\n")
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(each) for each in profiles], indent=1) + "\n")
    missed = unexplained(profiles)
    for line in missed:
        sys.stderr.write(f"not explained: {line}\n")
    return 1 if missed else 0


def _measure_all(scratch: Path, *, quick: bool) -> list[Profile]:
    repository = scratch / "models"
    cases = [Case(SMALL, 128, "binary")] + ([] if quick else [Case(MEDIUM, 32, "binary")])
    say("exporting the models")
    export(repository, [each.size for each in cases])
    num_runs, warmup_s, window_s = (2, 0.2, 0.4) if quick else (5, 0.3, 0.7)
    profiles = []
    for store in _STORES:
        say(f"starting the services on {store}")
        with _running(scratch, repository, store) as servers:
            for way in ways(cases):
                found = measure(way, servers, num_runs, warmup_s, window_s)
                found.name += f", {store}"
                say(f"{found.name}: {found.cpu_us:.1f} us, {found.explained:.0%} explained")
                profiles.append(found)
    return profiles


@contextlib.contextmanager
def _running(scratch: Path, repository: Path, store: str) -> Iterator[Servers]:
    """The three services on stores of one kind."""
    sockets = {clock: scratch / f"{store}-{clock}" for clock in ("cpu", "wall")}
    with contextlib.ExitStack() as stack:
        started = []
        for name in ("bare", "cpu", "wall"):
            address = store if store == "memory" else f"sqlite:{scratch / name}.sqlite"
            arguments = serve_arguments(repository, address)
            if name in sockets:
                of_profile = ("benchmarks.profile.server", name, str(sockets[name]))
                arguments = (*of_profile, *arguments[1:])
            server = Server(name, arguments, "/readyz", scratch / f"{store}-{name}.log")
            stack.callback(server.stop)
            server.start()
            started.append(server)
        bare, cpu, wall = started
        yield Servers(bare, cpu, wall, sockets)


if __name__ == "__main__":
    sys.exit(main())
