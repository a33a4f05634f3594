"""Lasting connections on asyncio's protocols: HTTP/1.1, and a session's WebSocket; with TLS too.

Each has one request unanswered at most, and tells its user what came of it.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from typing import Protocol, Self, cast
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from carousel_bench.load.reply import BadReply, Reply, ReplyReader
from carousel_client.endpoint import Endpoint

_CONNECT_S = 10.0
_PORTS = {"http": 80, "https": 443}
_REFUSAL = b'{"error"'


class CannotConnect(Exception):
    """No connection; the message says why."""


class User(Protocol):
    """Who a connection belongs to."""

    def replied(self, reply: Reply) -> None:
        """The reply to what was sent last."""
        ...

    def lost(self, connection: "Connection", why: str) -> None:
        """It is over, and nobody asked for that."""
        ...


class Connection(asyncio.Protocol):
    """One that is open, or was."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._over = False
        self._transport: asyncio.Transport

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' over' if self._over else ''}>"

    async def open(self, endpoint: Endpoint) -> Self:
        """Connect; raises CannotConnect."""
        place = _Place.of(endpoint.url)
        context = (endpoint.ssl_context or True) if place.is_tls else None
        try:
            async with asyncio.timeout(_CONNECT_S):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: self, place.host, place.port, ssl=context)
                await self._ready()
        except TimeoutError:
            self.close()
            raise CannotConnect(f"no connection within {_CONNECT_S:.0f} s") from None
        except OSError as error:
            raise CannotConnect(os.strerror(error.errno) if error.errno else str(error)) from None
        if self._over:
            raise CannotConnect("the connection was closed at once")
        return self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail("connection lost")

    def send(self, request: bytes | str) -> None:
        """Send what is to be answered."""
        raise NotImplementedError

    def fail(self, why: str) -> None:
        """Nothing more comes of it."""
        if not self._over:
            self.close()
            self._user.lost(self, why)

    def close(self) -> None:
        """End it, without a word to the user."""
        self._over = True
        if hasattr(self, "_transport"):
            self._transport.close()

    async def _ready(self) -> None:
        """Once it is open there may be more to wait for."""


class HttpConnection(Connection):
    """Whole requests of HTTP/1.1. The hot path is `data_received`."""

    def __init__(self, user: User) -> None:
        super().__init__(user)
        self._reader = ReplyReader()

    def send(self, request: bytes | str) -> None:
        assert isinstance(request, bytes)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        try:
            reply = self._reader.feed(data)
        except BadReply as error:
            self.fail(str(error))
            return
        if reply is not None:
            self._user.replied(reply)


class StreamConnection(Connection):
    """Messages of a WebSocket: `websockets` reads and writes them, pings and closes too."""

    def __init__(self, user: User, url: str, api_key: str | None) -> None:
        super().__init__(user)
        self._socket = ClientProtocol(parse_uri(url), max_size=None)
        self._api_key = api_key
        self._parts = b""
        self._greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        request = self._socket.connect()
        if self._api_key is not None:
            request.headers["Authorization"] = f"Bearer {self._api_key}"
        self._socket.send_request(request)
        self._flush()

    def send(self, request: bytes | str) -> None:
        if isinstance(request, str):
            self._socket.send_text(request.encode())
        else:
            self._socket.send_binary(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._socket.receive_data(data)
        for event in self._socket.events_received():
            if isinstance(event, Frame):
                self._take(event)
        self._flush()
        ended = self._socket.state in (State.CLOSING, State.CLOSED)
        if ended or self._socket.handshake_exc is not None:
            self.fail(self._reason())

    def fail(self, why: str) -> None:
        if not self._greeted.done():
            self._greeted.set_exception(CannotConnect(why))
            self.close()
        super().fail(why)

    def close(self) -> None:
        if not self._over and self._socket.state is State.OPEN:
            self._socket.send_close(1000)
            self._flush()
        super().close()

    async def _ready(self) -> None:
        await self._greeted

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        self._parts += frame.data
        if not frame.fin:
            return
        whole, self._parts = self._parts, b""
        if not self._greeted.done():
            self._greeted.set_result(None)
        elif whole.startswith(_REFUSAL):
            self._user.replied(_refusal(whole))
        else:
            self._user.replied(Reply(200, whole))

    def _flush(self) -> None:
        for data in self._socket.data_to_send():
            if data:
                self._transport.write(data)

    def _reason(self) -> str:
        error = self._socket.handshake_exc
        if isinstance(error, InvalidStatus):
            return f"HTTP {error.response.status_code} in place of a stream"
        if isinstance(error, InvalidHandshake | InvalidMessage):
            return f"no stream: {error}"
        code = self._socket.close_code
        return f"stream closed with {code} {self._socket.close_reason or ''}".rstrip()


def _refusal(message: bytes) -> Reply:
    """A refusal in a stream as the reply that it would be over HTTP."""
    try:
        error = json.loads(message)["error"]
        return Reply(int(error["status"]), json.dumps(error).encode())
    except (ValueError, LookupError, TypeError):
        return Reply(500, message)


@dataclass(frozen=True, slots=True)
class _Place:
    host: str
    port: int
    is_tls: bool

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        assert parts.hostname is not None
        return cls(parts.hostname, parts.port or _PORTS[parts.scheme], parts.scheme == "https")
