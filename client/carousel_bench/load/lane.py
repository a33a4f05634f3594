"""One lane: a user with sessions of its own, who waits for a reply before the next request."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Protocol

from carousel_bench.load.connection import (
    CannotConnect,
    Connection,
    HttpConnection,
    StreamConnection,
)
from carousel_bench.load.recorder import Recorder
from carousel_bench.load.reply import Reply
from carousel_bench.load.work import Source, refusal_of, refused_rows
from carousel_bench.settings import BULK
from carousel_client.endpoint import Endpoint

_AGAIN_S = 0.25


class Traffic(Protocol):
    """Who says when a lane sends."""

    def freed(self, lane: "Lane") -> None:
        """The lane may be used: it has its reply, or a connection."""
        ...

    def refused(self, lane: "Lane") -> None:
        """The same, and the reply was a refusal."""
        ...


class Lane:
    """`kinds`: what it sends, one after another; `sources`: requests of each of them."""

    def __init__(
        self,
        endpoint: Endpoint,
        sources: Mapping[str, Source],
        kinds: Iterator[str],
        recorder: Recorder,
    ) -> None:
        self._endpoint = endpoint
        self._sources = sources
        self._kinds = kinds
        self._recorder = recorder
        self._traffic: Traffic
        self._http: Connection | None = None
        self._stream: Connection | None = None
        self._waits_for: Source | None = None
        self._due = 0.0
        self._mending: asyncio.Task[None] | None = None
        self._ended = False

    def __repr__(self) -> str:
        state = "waits" if self.is_busy else "free" if self.is_up else "down"
        return f"<Lane {', '.join(self._sources)} {state}>"

    @property
    def is_busy(self) -> bool:
        """Whether it waits for a reply."""
        return self._waits_for is not None

    @property
    def is_up(self) -> bool:
        """Whether it has its connections."""
        return self._mending is None

    async def join(self, traffic: Traffic) -> None:
        """Connect; raises CannotConnect."""
        self._traffic = traffic
        await self._connect()

    def send(self, due: float) -> None:
        """Send its next request, which was due then."""
        source = self._sources[next(self._kinds)]
        self._waits_for, self._due = source, due
        connection = self._stream if source.url else self._http
        assert connection is not None
        connection.send(next(source.requests))

    def replied(self, reply: Reply) -> None:
        """The reply to what was sent last."""
        now = time.monotonic()
        source, self._waits_for = self._waits_for, None
        if source is None:
            return
        if reply.status == 200:
            self._recorder.done(source.kind, self._due, now)
            if source.kind == BULK and (rows := refused_rows(reply)):
                self._recorder.refused_rows(source.kind, self._due, now, rows, source.row_steps)
        else:
            self._recorder.refused(source.kind, self._due, now, refusal_of(reply))
        # A stream that has refused a message refuses those behind it, until one names its position.
        if reply.closes or (source.url and reply.status != 200):
            self._mend()
        elif reply.status != 200:
            self._traffic.refused(self)
        else:
            self._traffic.freed(self)

    def lost(self, connection: Connection, why: str) -> None:
        """A connection is over. Where nothing was sent that is no error: idle ones are closed."""
        if connection not in (self._http, self._stream):
            return
        if self._waits_for is not None:
            self._recorder.failed(self._waits_for.kind, self._due, time.monotonic(), why)
            self._waits_for = None
        self._mend()

    def give_up(self) -> None:
        """Wait no longer."""
        if self._waits_for is not None:
            self._recorder.given_up(self._waits_for.kind, self._due, time.monotonic())
            self._waits_for = None

    def close(self) -> None:
        """End its connections."""
        self._ended = True
        if self._mending is not None:
            self._mending.cancel()
        self._drop()

    async def _connect(self) -> None:
        streams = [each for each in self._sources.values() if each.url]
        if len(streams) < len(self._sources):
            self._http = await HttpConnection(self).open(self._endpoint)
        for each in streams:
            stream = StreamConnection(self, each.url, self._endpoint.api_key)
            self._stream = await stream.open(self._endpoint)
            if self._http is None and len(self._sources) > 1:
                raise CannotConnect("the connection was closed at once")

    def _mend(self) -> None:
        self._drop()
        if self._mending is None and not self._ended:
            self._mending = asyncio.ensure_future(self._connect_again())

    async def _connect_again(self) -> None:
        while True:
            try:
                await self._connect()
            except CannotConnect:
                self._drop()
                await asyncio.sleep(_AGAIN_S)
            else:
                break
        self._mending = None
        self._traffic.freed(self)

    def _drop(self) -> None:
        for each in (self._http, self._stream):
            if each is not None:
                each.close()
        self._http = self._stream = None
