"""The load: one lasting connection per session, each sending its next step when its reply is in.

Written on bare protocols with requests made beforehand, so that the client is not what is measured:
it needs less than half of the time that the bare echo needs (the table shows its share of a core).
"""

import asyncio
import contextlib
import gc
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from benchmarks.framing import Framing, HttpFraming, LoadError, WebSocketFraming

_FINISH_S = 20.0


@dataclass(frozen=True, slots=True)
class Stream:
    """What one connection sends, a whole HTTP request at a time or, where it has a `socket` that
    was upgraded, a whole message; it ends with its last, if it has one. `keep`: the bodies of its
    first replies wanted.
    """

    requests: Iterator[bytes]
    keep: int = 0
    socket: "socket.socket | None" = None


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: its headers in lower case (a message has none), and its body."""

    head: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Load:
    """What one run gave. Latencies are of the window; counts, kept and last replies of the whole
    run.
    """

    window_s: float
    latencies_ns: list[int]
    errors: int
    first_error: bytes
    client_share: float
    counts: list[int] = field(default_factory=list)
    kept: list[list[bytes]] = field(default_factory=list)
    last: list[Reply] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    """One stream's connection. The hot path is `data_received`."""

    def __init__(self, stream: Stream, finished: asyncio.Event) -> None:
        self.next = stream.requests.__next__
        self.keep = stream.keep
        framing: Framing = HttpFraming() if stream.socket is None else WebSocketFraming()
        self._span, self._is_good = framing.span, framing.is_good
        self.finished = finished
        self.stopping = False
        self.lost = False
        self.sent_ns = 0
        self.latencies: list[int] = []
        self.first = 0
        self.kept: list[bytes] = []
        self.last = b""
        self.last_start = 0
        self.errors = 0
        self.first_error = b""
        self._part = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's, whose interface they have.
        self.write = cast(asyncio.Transport, transport).write

    def start(self) -> None:
        request = self.next()
        self.sent_ns = time.perf_counter_ns()
        self.write(request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        if self._part:
            data = self._part + data
        span = self._span(data)
        if span is None:
            self._part = data
            return
        self._part = b""
        self.latencies.append(now - self.sent_ns)
        self.last = data
        self.last_start = span.start
        if not self._is_good(data):
            self.errors += 1
            self.first_error = self.first_error or data
        if len(self.kept) < self.keep:
            self.kept.append(data[span.start :])
        if self.stopping:
            self.finished.set()
            return
        try:
            request = self.next()
        except StopIteration:
            self.finished.set()
            return
        self.sent_ns = time.perf_counter_ns()
        self.write(request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.finished.set()


async def run_load(port: int, streams: Sequence[Stream], warmup_s: float, window_s: float) -> Load:
    """Drive every stream for `warmup_s` + `window_s`, let each finish its last step, and count.

    Raises LoadError if the server closes a connection or leaves a step unanswered.
    """
    async with _connected(port, streams) as connections:
        await asyncio.sleep(warmup_s)
        for connection in connections:
            connection.first = len(connection.latencies)
        began, cpu_began = time.perf_counter(), _cpu_s()
        await asyncio.sleep(window_s)
        latencies = _latencies(connections)
        window = time.perf_counter() - began
        share = (_cpu_s() - cpu_began) / window
        for connection in connections:
            connection.stopping = True
        await _finish(connections, _FINISH_S)
    return _count(connections, latencies, window, share)


async def run_through(port: int, streams: Sequence[Stream], limit_s: float) -> Load:
    """Drive every stream to its end; the window is all of it. Raises as `run_load`, and if it takes
    longer than `limit_s`.
    """
    began, cpu_began = time.perf_counter(), _cpu_s()
    async with _connected(port, streams) as connections:
        await _finish(connections, limit_s)
    window = time.perf_counter() - began
    share = (_cpu_s() - cpu_began) / window
    return _count(connections, _latencies(connections), window, share)


@contextlib.asynccontextmanager
async def _connected(port: int, streams: Sequence[Stream]) -> AsyncIterator[list[_Connection]]:
    """A connection for each stream, its first request sent."""
    loop = asyncio.get_running_loop()
    connections = [_Connection(stream, asyncio.Event()) for stream in streams]
    transports = [
        await _connect(loop, connection, port, stream.socket)
        for connection, stream in zip(connections, streams, strict=True)
    ]
    gc.collect()
    gc.disable()
    try:
        for connection in connections:
            connection.start()
        yield connections
    finally:
        gc.enable()
        for transport in transports:
            transport.close()


def _latencies(connections: Sequence[_Connection]) -> list[int]:
    return [ns for each in connections for ns in each.latencies[each.first :]]


def _count(
    connections: Sequence[_Connection], latencies: list[int], window_s: float, share: float
) -> Load:
    return Load(
        window_s=window_s,
        latencies_ns=latencies,
        errors=sum(each.errors for each in connections),
        first_error=next((each.first_error for each in connections if each.errors), b""),
        client_share=share,
        counts=[len(each.latencies) for each in connections],
        kept=[each.kept for each in connections],
        last=[
            Reply(each.last[: each.last_start].lower(), each.last[each.last_start :])
            for each in connections
        ],
    )


async def _connect(
    loop: asyncio.AbstractEventLoop, connection: _Connection, port: int, sock: socket.socket | None
) -> asyncio.Transport:
    if sock is not None:
        return (await loop.create_connection(lambda: connection, sock=sock))[0]
    return (await loop.create_connection(lambda: connection, "127.0.0.1", port))[0]


async def _finish(connections: Sequence[_Connection], limit_s: float) -> None:
    waiting = [asyncio.ensure_future(each.finished.wait()) for each in connections]
    _, pending = await asyncio.wait(waiting, timeout=limit_s)
    for task in pending:
        task.cancel()
    if pending:
        raise LoadError(f"{len(pending)} connections were not done within {limit_s:.0f} s")
    lost = sum(each.lost for each in connections)
    if lost:
        raise LoadError(f"the server closed {lost} connections")


def _cpu_s() -> float:
    times = os.times()
    return times.user + times.system
