"""uvicorn's HTTP protocol with a bound on what a client may send before its headers are whole, and
a shorter way for the most frequent request.

llhttp bounds neither the length of headers nor the time they take.

A single step that arrives in one piece and has nothing to wait for but its run is answered without
a task, a scope and a cycle of messages (direct_reply.py): these take most of the time of a small
step. Everything else, and whatever is wrong with a request, goes uvicorn's way.
"""

import asyncio
import time
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from carousel.service.api.server.direct_reply import DirectReply
from carousel.service.api.server.gate import Gate
from carousel.service.api.server.transport import CoalescingTransport
from carousel.service.api.streams.call import is_stream
from carousel.service.api.streams.connection import StreamConnection

MAX_HEAD_BYTES = 64 * 1024

# How the paths end that may have a shorter way; the gate knows which do.
_DIRECT = (b"/steps", b"/infer")


class Protocol(HttpToolsProtocol):
    """One connection. `head_since` is when the present head began, None while there is none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head_since: float | None = time.monotonic()
        self._head_bytes = 0
        self._gate = self.app if isinstance(self.app, Gate) else None
        # The body so far of a request that may go the shorter way; None for all others.
        self._held_body: bytes | None = None
        self._answered_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        coalescing = CoalescingTransport(transport)
        self.write_now = coalescing.write_now
        super().connection_made(coalescing)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or was sent away."""
        if isinstance(self.cycle, DirectReply):
            self.cycle.abandon()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what is nothing but head; a piece that holds other things too is not counted."""
        head_since = self.head_since
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._held_body is not None:
            # The body is not whole yet: the usual way bounds the time that it may take.
            self._go_usual_way()
        if head_since is not None and self.head_since == head_since:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("The headers are too long.")

    def on_message_begin(self) -> None:
        self.head_since = time.monotonic()
        self._head_bytes = 0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # `_upgrade` decides
        if self._may_be_direct():
            self._held_body = b""
        else:
            self._make_cycle()

    def on_body(self, body: bytes) -> None:
        self.head_since = None
        if self._held_body is None:
            super().on_body(body)
        else:
            self._held_body += body

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self.head_since = None
        if self._held_body is not None:
            if self._begin(self._held_body):
                self._held_body = None
                return
            self._go_usual_way()
        super().on_message_complete()

    def _may_be_direct(self) -> bool:
        """Whether it is a step, by its path, on a connection that owes no other answer."""
        return (
            self.url.endswith(_DIRECT)
            and self._gate is not None
            and (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self.expect_100_continue
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and not self.parser.should_upgrade()
            and b"%" not in self.url
        )

    def _begin(self, body: bytes) -> bool:
        assert self._gate is not None
        reply = DirectReply(self)
        request = self._gate.begin(self.url.decode("latin-1"), self.headers, body, reply.send)
        if request is None:
            return False
        reply.began(request)
        self.cycle = reply  # type: ignore[assignment]  # it stands where a cycle would
        return True

    def _go_usual_way(self) -> None:
        """Tell uvicorn what was held back."""
        body, self._held_body = self._held_body, None
        self._make_cycle()
        if body:
            super().on_body(body)

    def _make_cycle(self) -> None:
        """Let uvicorn make its scope, which it does when a head begins, and then its cycle."""
        url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect_100_continue
        self.headers += headers
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer was written: what was pipelined goes on, or the client's next is waited for.

        The timer of an idle connection is set once and looks at the clock when it fires; uvicorn
        sets and cancels one for each request.
        """
        self._answered_at = time.monotonic()
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        self.flow.resume_reading()
        if self.timeout_keep_alive_task is None:
            self._set_timer(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for long enough, else look again later."""
        self.timeout_keep_alive_task = None
        left = self._answered_at + self.timeout_keep_alive - time.monotonic()
        owes = self.cycle is not None and not self.cycle.response_complete
        if owes or self.head_since is not None:
            self._set_timer(self.timeout_keep_alive)
        elif left > 0:
            self._set_timer(left)
        else:
            super().timeout_keep_alive_handler()

    def _set_timer(self, delay_s: float) -> None:
        call = self.timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(delay_s, call)

    def _unset_keepalive_if_required(self) -> None:
        """The timer stays; see `on_response_complete`."""

    def _upgrade(self, rest: bytes) -> None:
        """Go on as a WebSocket where that is what was asked for, at a path that is one."""
        streams = self._gate.streams if self._gate is not None else None
        owes = self.cycle is not None and not self.cycle.response_complete
        names = {value.lower() for name, value in self.headers if name == b"upgrade"}
        if streams is None or owes or names != {b"websocket"} or not is_stream(self.url.decode()):
            self._decline_upgrade(rest)
            return
        parts = [self.parser.get_method(), b" ", self.url, b" HTTP/1.1\r\n"]
        for name, value in self.headers:
            parts += (name, b": ", value, b"\r\n")
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self.connections.discard(self)
        assert isinstance(self.transport, CoalescingTransport)
        transport = self.transport.release()
        stream = StreamConnection(streams, self.connections)
        transport.set_protocol(stream)
        stream.connection_made(transport)
        stream.upgraded(b"".join([*parts, b"\r\n"]), rest)

    def _decline_upgrade(self, rest: bytes) -> None:
        """Read the head again without its offer of another protocol, and then what follows it.

        Java's HttpClient offers h2c with its first request on a connection; a server declines by
        answering (RFC 9110 section 7.8). llhttp takes what follows such a head for the other
        protocol, and the body would be lost.
        """
        method, url, headers = self.parser.get_method(), self.url, self.headers
        last = any(name == b"connection" and b"close" in value.lower() for name, value in headers)
        parts = [method, b" ", url, b" HTTP/1.1\r\n"]
        for name, value in headers:
            if name not in (b"connection", b"upgrade", b"http2-settings"):
                parts += (name, b": ", value, b"\r\n")
        if last:
            parts.append(b"connection: close\r\n")
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"".join([*parts, b"\r\n", rest]))
