"""One request that is answered in a task, through ASGI's messages."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from http import HTTPStatus
from typing import Any, Protocol

from carousel.service.api.http.answer import Header
from carousel.service.api.server.asgi import Scope, Send
from carousel.service.api.server.head import Head

log = logging.getLogger("carousel.server")

# As much of a body as is read ahead of whoever takes it.
_MAX_AHEAD_BYTES = 64 * 1024
# A longer body is not copied, to be written with its head.
_MAX_JOINED_BYTES = 64 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# Answers that have no body, whatever they say of its length.
_BODILESS = (204, 304)

STATUS_LINES = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus
}

Application = Callable[
    [Scope, Callable[[], Awaitable[MutableMapping[str, Any]]], Send], Awaitable[None]
]


class Connection(Protocol):
    """As much of the connection as is used."""

    @property
    def default_headers(self) -> Sequence[Header]: ...

    def write(self, data: bytes) -> None: ...

    async def writable(self) -> None: ...

    def hold_back(self) -> None: ...

    def read_on(self) -> None: ...

    def answered(self, *, is_last: bool) -> None: ...

    def break_off(self) -> None: ...


class Cycle:
    """A request and the answer that a connection owes to it."""

    def __init__(self, connection: Connection, scope: Scope, head: Head) -> None:
        self._connection = connection
        self._scope = scope
        self._keep_alive = head.keep_alive
        self._expects_continue = head.expects_continue
        self._body = bytearray()
        self._is_whole = False
        self._gone = False
        self._news = asyncio.Event()
        # The head of the answer, until the first of its body is there to be written with it.
        self._head: list[bytes] | None = None
        self._chunked = False
        self._has_body = True
        self._started = self._complete = False

    def __repr__(self) -> str:
        return f"<Cycle whole={self._is_whole} started={self._started} complete={self._complete}>"

    def feed(self, data: bytes) -> None:
        """More of the body."""
        if self._complete:
            return  # it was answered without being read
        self._body += data
        if len(self._body) > _MAX_AHEAD_BYTES:
            self._connection.hold_back()
        self._news.set()

    def end(self) -> None:
        """The request is whole."""
        self._is_whole = True
        self._news.set()

    def abandon(self) -> None:
        """The client has gone."""
        self._gone = True
        self._news.set()

    def finish(self) -> None:
        """The answer is to be the connection's last."""
        self._keep_alive = False

    async def run(self, application: Application) -> None:
        """Let the application answer, once the client has read what was answered before."""
        await self._connection.writable()
        if self._gone:
            return
        try:
            await application(self._scope, self._receive, self._send)
        except Exception:
            log.exception("a request was left unanswered")
        if not self._complete and not self._gone:
            self._connection.break_off()

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._expects_continue and not self._started:
            self._connection.write(_CONTINUE)
            self._expects_continue = False
        if not self._gone and not self._complete:
            self._connection.read_on()
            await self._news.wait()
            self._news.clear()
        if self._gone or self._complete:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        return {"type": "http.request", "body": body, "more_body": not self._is_whole}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            assert not self._started
            self._started = True
            self._head = self._render(message["status"], message["headers"])
            return
        assert self._started
        assert not self._complete
        parts, self._head = self._head or [], None
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._has_body:
            parts += self._chunk(body, more=more) if self._chunked else [body]
        if self._gone:
            return
        if len(body) > _MAX_JOINED_BYTES:
            for part in parts:
                self._connection.write(part)
        elif parts:
            self._connection.write(b"".join(parts))
        if more:
            await self._connection.writable()
        else:
            self._complete = True
            self._news.set()
            self._connection.answered(is_last=not self._keep_alive)

    def _render(self, status: int, headers: Sequence[Header]) -> list[bytes]:
        parts = [STATUS_LINES[status]]
        has_length = False
        for name, value in (*self._connection.default_headers, *headers):
            if b"\n" in value or b"\r" in value:
                raise ValueError(f"a line break in the header {name!r}")
            name = name.lower()
            if name == b"connection":
                # It is said once, below.
                self._keep_alive = self._keep_alive and value.lower() != b"close"
                continue
            has_length = has_length or name == b"content-length"
            parts += (name, b": ", value, b"\r\n")
        self._has_body = self._scope["method"] != "HEAD" and status not in _BODILESS
        if self._has_body and not has_length:
            self._chunked = True
            parts.append(b"transfer-encoding: chunked\r\n")
        if not self._keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        return [b"".join(parts)]

    def _chunk(self, body: bytes, *, more: bool) -> list[bytes]:
        parts = [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
        return parts if more else [*parts, b"0\r\n\r\n"]
