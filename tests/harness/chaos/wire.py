"""One connection that speaks as much HTTP/1.1 as the load needs: a request, then its answer."""

import asyncio
from dataclasses import dataclass
from typing import cast

_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Wire(asyncio.Protocol):
    """A connection. `ask` gives a future: the answer, or None if the connection ended without."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._asked: asyncio.Future[Answer | None] | None = None
        self._data = b""

    def __repr__(self) -> str:
        return f"<Wire closed={self.closed} asked={self._asked is not None}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's, whose interface they have.
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> "asyncio.Future[Answer | None]":
        """Send a request; the one before it was answered."""
        assert self._transport is not None
        assert self._asked is None
        asked: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        if self.closed:
            asked.set_result(None)
            return asked
        self._asked = asked
        self._transport.write(request)
        return asked

    def close(self) -> None:
        """Hang up: what was sent is on its way, no answer will be read."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once, as a client that dies."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        data = self._data + data if self._data else data
        end = data.find(_END)
        if end < 0:
            self._data = data
            return
        start, *lines = data[:end].split(b"\r\n")
        pairs = (line.partition(b":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get(b"content-length", b"0"))
        if len(data) < end + len(_END) + length:
            self._data = data
            return
        self._data = b""
        if headers.get(b"connection") == b"close":
            self.close()
        self._tell(Answer(int(start.split(b" ", 2)[1]), headers, data[end + len(_END) :]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._tell(None)

    def _tell(self, answer: Answer | None) -> None:
        asked, self._asked = self._asked, None
        if asked is not None and not asked.done():
            asked.set_result(answer)
