"""A way to step, measured on three servers in turns: without timers, with those of CPU, and with
those of the wall clock, for a lone client.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import orjson
import uvloop
from safetensors.numpy import save

from benchmarks.cases import SMALL, Case, Floats
from benchmarks.framing import LoadError
from benchmarks.load import Load, Stream, run_load
from benchmarks.process import LOAD_CORE, Server, pinned
from benchmarks.profile.stage_clock import REST, Spent, TimerCost
from benchmarks.profile.stages import STAGES
from benchmarks.targets import Carousel
from benchmarks.ways import WebSocket

BULK_ROWS = 4096


@dataclass(slots=True)
class Profile:
    """Of one way, per step, medians over the windows. `cpu_us`: of the server without timers;
    `stages`: CPU by stage, `REST` what is in none; `wall_us`: a lone client's wait without timers,
    `wall_stages` what of it is in which stage. `timers_us`: what was taken off.
    """

    name: str
    cpu_us: float
    stages: dict[str, float]
    timers_us: float
    wall_us: float
    wall_stages: dict[str, float]

    @property
    def explained(self) -> float:
        """The stages and the rest, by what the server takes without timers."""
        return sum(self.stages.values()) / self.cpu_us


class Columns(Carousel):
    """All sessions in one request of columns, in safetensors; a lone client is the same."""

    def open(self, case: Case, keep: Sequence[int], num_kept: int) -> list[Stream]:
        frame = np.random.default_rng(7).standard_normal((BULK_ROWS, 10), dtype=np.float32)
        return [Stream(iter(lambda: _columns(self.server.port, case.size.model, frame), b""))]


@dataclass(frozen=True, slots=True)
class Way:
    """How steps are sent: by whom, and how many steps are in a request."""

    name: str
    target: Callable[[Server], Carousel]
    case: Case
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Servers:
    """The same service thrice; `sockets`: where the two with timers tell what was spent."""

    bare: Server
    cpu: Server
    wall: Server
    sockets: dict[str, Path]


@dataclass(frozen=True, slots=True)
class _Window:
    """Per step. `total_us`: CPU of the server; `wall_us`: the median wait."""

    total_us: float
    wall_us: float
    stages: dict[str, float]
    timers_us: float


def measure(way: Way, servers: Servers, num_runs: int, warmup_s: float, window_s: float) -> Profile:
    """Raises LoadError on any error."""
    bare: list[_Window] = []
    timed: list[_Window] = []
    lone: list[_Window] = []
    walls: list[_Window] = []
    alone = Case(way.case.size, 1, way.case.encoding)
    for run in range(num_runs):
        turns = [(servers.bare, bare, "", way.case), (servers.cpu, timed, "cpu", way.case)]
        if run < 2:
            turns += [(servers.bare, lone, "", alone), (servers.wall, walls, "wall", alone)]
        for server, into, clock, case in turns:
            path = servers.sockets.get(clock)
            into.append(_measure(way, server, path, case, warmup_s, window_s))
    return Profile(
        way.name,
        median(each.total_us for each in bare),
        _medians(timed),
        median(each.timers_us for each in timed),
        median(each.wall_us for each in lone),
        _medians(walls),
    )


def _medians(windows: Sequence[_Window]) -> dict[str, float]:
    return {stage: median(each.stages[stage] for each in windows) for stage in windows[0].stages}


def _measure(
    way: Way, server: Server, path: Path | None, case: Case, warmup_s: float, window_s: float
) -> _Window:
    # What is opened stays open: the servers end soon, and closing takes longer than a window.
    streams = way.target(server).open(case, (), 0)
    # Sessions are opened, and what is made once is made, before anything is counted.
    if way.rows > 1:
        _drive(server, streams, 0.0, 0.0)
    before, cpu_before = ask(path) if path else None, server.cpu_s()
    load = _drive(server, streams, warmup_s, window_s)
    cpu_s, after = server.cpu_s() - cpu_before, ask(path) if path else None
    num_steps = sum(load.counts) * way.rows
    wall_us = median(load.latencies_ns) / 1e3 / way.rows
    total_us = cpu_s * 1e6 / num_steps
    if before is None or after is None:
        return _Window(total_us, wall_us, {}, 0.0)
    stages = {
        stage: (after.net_ns(stage) - before.net_ns(stage)) / 1e3 / num_steps for stage in STAGES
    }
    gross = sum(after.gross_ns(stage) - before.gross_ns(stage) for stage in STAGES)
    # Also the time of threads that never came into a stage: of all that the process took, what is
    # in no stage, without the timers that it was the outside of.
    rest_timers = after.timers_ns(REST) - before.timers_ns(REST)
    stages[REST] = total_us - (gross + rest_timers) / 1e3 / num_steps
    timers = rest_timers + sum(after.timers_ns(s) - before.timers_ns(s) for s in STAGES)
    return _Window(total_us, wall_us, stages, timers / 1e3 / num_steps)


def _drive(server: Server, streams: Sequence[Stream], warmup_s: float, window_s: float) -> Load:
    with pinned(LOAD_CORE), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        load = runner.run(run_load(server.port, streams, warmup_s, window_s))
    if load.errors:
        raise LoadError(f"{server.name}: {load.errors} errors: {load.first_error[:300]!r}")
    return load


@dataclass(frozen=True, slots=True)
class Told:
    """What a server with timers says."""

    cost: TimerCost
    spent: dict[str, Spent]

    def gross_ns(self, stage: str) -> float:
        """With the timers."""
        return self.spent.get(stage, Spent()).ns

    def net_ns(self, stage: str) -> float:
        """Without them."""
        return self.cost.off(self.spent.get(stage, Spent()))

    def timers_ns(self, stage: str) -> float:
        """The timers."""
        return self.gross_ns(stage) - self.net_ns(stage)


def ask(path: Path) -> Told:
    """What a server with timers has counted so far."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(str(path))
        told = json.loads(b"".join(iter(lambda: one.recv(65536), b"")))
    spent = {stage: Spent(**each) for stage, each in told["spent"].items()}
    return Told(TimerCost(**told["cost"]), spent)


def _columns(port: int, model: str, frame: Floats) -> bytes:
    ids = [f"row-{row}" for row in range(len(frame))]
    head = {"model": model, "session_ids": ids, "open": True}
    metadata = {
        name: value if isinstance(value, str) else orjson.dumps(value).decode()
        for name, value in head.items()
    }
    body = save({"input": frame}, metadata)
    return (
        f"POST /v1/steps HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: "
        f"application/x-safetensors\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def ways(sizes: Sequence[Case], *, with_bulk: bool = True) -> list[Way]:
    """HTTP for each size, a stream, and columns."""
    found = [Way(f"HTTP binary, {case}", Carousel, case) for case in sizes]
    small = Case(SMALL, 128, "binary")
    found.append(Way(f"WebSocket, {small}", WebSocket, small))
    if with_bulk:
        one = Case(SMALL, 1, "binary")
        found.append(Way(f"columns of {BULK_ROWS:,} rows, small", Columns, one, BULK_ROWS))
    return found
