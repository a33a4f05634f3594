"""Live streams: each sends a message when it is due, whether its last one was answered or not.

A latency counts from when the message was due, so that a client that falls behind shows as well.
"""

import asyncio
import gc
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from benchmarks.framing import LoadError, WebSocketFraming
from benchmarks.load import Stream

_FINISH_S = 20.0
_POLL_S = 0.01
_SEED = 7


@dataclass(frozen=True, slots=True)
class Live:
    """What came of one window: `sent` messages, and their latencies in ms."""

    sent: int
    p50_ms: float
    p99_ms: float


class _LiveConnection(asyncio.Protocol):
    """One stream, which is past its greeting."""

    def __init__(self, stream: Stream, pause_s: float) -> None:
        self.latencies: list[float] = []
        self.due: deque[float] = deque()
        self.sent = 0
        self.stopping = False
        self.failure = b""
        self.lost = False
        self._next = stream.requests.__next__
        self._pause_s = pause_s
        self._framing = WebSocketFraming()
        self._part = b""
        self._at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's, whose interface they have.
        self._write = cast(asyncio.Transport, transport).write
        self._loop = asyncio.get_running_loop()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True

    def start(self, at: float) -> None:
        """Send the first message at a time of the monotonic clock."""
        self._at = at
        self._wait()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        data = self._part + data
        while (span := self._framing.span(data)) is not None:
            if not self._framing.is_good(data):
                self.failure = self.failure or data
            self.latencies.append(now - self.due.popleft())
            data = data[span.end :]
        self._part = data

    def _wait(self) -> None:
        self._loop.call_later(max(0.0, self._at - time.perf_counter()), self._send)

    def _send(self) -> None:
        if self.stopping or self.lost:
            return
        self.due.append(self._at)
        self._write(self._next())
        self.sent += 1
        self._at += self._pause_s
        self._wait()


async def run_live(
    streams: Sequence[Stream], pause_s: float, warmup_s: float, window_s: float
) -> Live:
    """Messages of every stream `pause_s` apart, beginning at random; raises LoadError on an error.

    The latencies are those of messages answered in the window and, of what was under way at its
    end, afterwards.
    """
    loop = asyncio.get_running_loop()
    connections = [_LiveConnection(each, pause_s) for each in streams]
    transports = []
    for connection, stream in zip(connections, streams, strict=True):
        assert stream.socket is not None
        made, _ = await loop.create_connection(partial(_same, connection), sock=stream.socket)
        transports.append(made)
    gc.collect()
    gc.disable()
    try:
        order = random.Random(_SEED)
        for connection in connections:
            connection.start(time.perf_counter() + order.random() * pause_s)
        await asyncio.sleep(warmup_s)
        first = [len(each.latencies) + len(each.due) for each in connections]
        await asyncio.sleep(window_s)
        await _stop(connections)
    finally:
        gc.enable()
        for transport in transports:
            transport.close()
    return _summed(connections, first)


async def _stop(connections: Sequence[_LiveConnection]) -> None:
    """Send no more, and wait for the answers."""
    for connection in connections:
        connection.stopping = True
    end = time.monotonic() + _FINISH_S
    while any(each.due and not each.lost for each in connections):
        if time.monotonic() > end:
            raise LoadError(f"messages were not answered within {_FINISH_S:.0f} s")
        await asyncio.sleep(_POLL_S)
    if any(each.lost for each in connections):
        raise LoadError("the server closed a stream")
    failures = [each.failure for each in connections if each.failure]
    if failures:
        raise LoadError(f"a stream was answered {failures[0][:300]!r}")


def _same(connection: _LiveConnection) -> _LiveConnection:
    return connection


def _summed(connections: Sequence[_LiveConnection], first: Sequence[int]) -> Live:
    found = [
        latency
        for connection, start in zip(connections, first, strict=True)
        for latency in connection.latencies[start:]
    ]
    p50, p99 = np.percentile(np.asarray(found) * 1e3, [50, 99])
    return Live(len(found), float(p50), float(p99))
