"""A WebSocket connection: bytes to messages and back, by the websockets library's sans-I/O part
for all but whole messages (framing.py).

Not uvicorn's own protocol: that one stops reading after each message until the application asks for
the next, runs each connection in a task, and closes streams at once when the service is to end.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, cast

from websockets.exceptions import InvalidState
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from service.api.problem import unexpected
from service.api.streams.call import SUBPROTOCOL
from service.api.streams.closing import Close, close_for
from service.api.streams.desk import Desk
from service.api.streams.framing import Splitter, frame_header
from service.api.streams.host import Host
from service.api.streams.message import Frame, write_error
from service.api.streams.stream import Stream
from service.errors import CarouselError


class StreamConnection(asyncio.Protocol):
    """One client. Owned by the event loop; the stream behind it speaks through `send`, `close` and
    `hold_back`.
    """

    def __init__(self, desk: Desk, connections: set[Any]) -> None:
        self._desk = desk
        # uvicorn's, which waits for those in it when the service ends.
        self._connections = connections
        self._wire = ServerProtocol(
            max_size=desk.max_message_bytes,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            select_subprotocol=_select_subprotocol,
        )
        self._splitter = Splitter(desk.max_message_bytes)
        self._host = Host(desk, self)
        self._stream: Stream | None = None
        self._early: list[Frame] = []
        self._parts: list[bytes] = []
        self._part_is_text = False
        self._opening: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pinged = False
        self._closing = False
        self._unread_since: float | None = None

    def __repr__(self) -> str:
        return f"<StreamConnection {self._wire.state.name} {self._stream!r}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection comes from the HTTP protocol, which read the head."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        self._set_timer(self._desk.patience_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or was sent away."""
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._opening is not None:
            self._opening.cancel()
        received = self._wire.close_rcvd
        code = received.code if received is not None else None
        self._ending = asyncio.ensure_future(self._host.end(code))

    def upgraded(self, head: bytes, rest: bytes) -> None:
        """The head that asked for the connection, and what came behind it."""
        self._feed(head)
        self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        """Bytes of frames."""
        for part in self._splitter.split(data, time.monotonic()):
            if isinstance(part, bytes):
                self._feed(part)
            elif self._wire.state is State.OPEN:
                self._receive(part)

    def _feed(self, data: bytes) -> None:
        self._wire.receive_data(data)
        for event in self._wire.events_received():
            if isinstance(event, WireFrame):
                self._take(event)
            elif isinstance(event, Request):
                self._accept(event)
        self._flush()

    def eof_received(self) -> bool:
        """The client sends nothing more, not even a close."""
        self._wire.receive_eof()
        self._flush()
        return False

    def pause_writing(self) -> None:
        """The client does not read what it is sent."""
        self._unread_since = time.monotonic()
        self._transport.pause_reading()
        if self._stream is not None:
            self._stream.set_can_send(False)

    def resume_writing(self) -> None:
        """It reads again."""
        self._unread_since = None
        self._transport.resume_reading()
        if self._stream is not None:
            self._stream.set_can_send(True)

    def shutdown(self) -> None:
        """uvicorn ends; streams were closed before, when the drain was done."""
        self.close(Close.RESTARTING, "the service is shutting down")

    def send(self, data: bytes, *, is_text: bool) -> None:
        """Send one message, unless the client is gone. What the library sends it sends at once."""
        if self._wire.state is State.OPEN:
            self._transport.write(frame_header(len(data), is_text=is_text) + data)

    def close(self, code: Close, reason: str) -> None:
        """Say why, and wait a while for the client to close its side."""
        try:
            self._wire.send_close(code, reason)
        except InvalidState:
            return
        self._flush()

    def hold_back(self, held: bool) -> None:
        """Stop reading, or read on."""
        if held:
            self._transport.pause_reading()
        elif self._unread_since is None:
            self._transport.resume_reading()

    def _accept(self, request: Request) -> None:
        response = self._wire.accept(request)
        self._wire.send_response(response)
        if response.status_code == 101:
            self._opening = asyncio.ensure_future(self._open(request))

    async def _open(self, request: Request) -> None:
        headers = {
            name.lower().encode("latin-1"): value.encode("latin-1")
            for name, value in request.headers.raw_items()
        }
        try:
            stream = await self._host.open(request.path, headers)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            known = (
                error if isinstance(error, CarouselError) else unexpected(error, where="a stream")
            )
            self.send(write_error(known, None), is_text=True)
            self.close(close_for(known), known.code)
            return
        stream.set_can_send(self._unread_since is None)
        self._stream = stream
        early, self._early = self._early, []
        self.hold_back(False)
        for frame in early:
            stream.receive(frame)

    def _take(self, event: WireFrame) -> None:
        if event.opcode is Opcode.PONG:
            self._pinged = False
        elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if event.opcode is not Opcode.CONT:
                self._part_is_text = event.opcode is Opcode.TEXT
            data = bytes(event.data)
            if not event.fin or self._parts:
                self._parts.append(data)
                if not event.fin:
                    return
                data = b"".join(self._parts)
                self._parts = []
            self._receive(Frame(data, self._part_is_text, time.monotonic()))

    def _receive(self, frame: Frame) -> None:
        if self._stream is not None:
            self._stream.receive(frame)
        else:
            # The greeting has not been sent yet; what is more than this stays with the client.
            self._early.append(frame)
            if len(self._early) == 1:
                self._transport.pause_reading()

    def _flush(self) -> None:
        for data in self._wire.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
        if self._wire.close_expected() and not self._closing:
            self._closing = True
            self._set_timer(self._desk.patience_s)

    def _set_timer(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        """Time has passed: is the client still there?"""
        self._timer = None
        if self._wire.close_expected() or self._pinged or self._is_deaf():
            self._transport.abort()
            return
        self._pinged = True
        try:
            self._wire.send_ping(b"")
        except InvalidState:
            self._transport.abort()
            return
        self._flush()
        self._set_timer(self._desk.patience_s)

    def _is_deaf(self) -> bool:
        since = self._unread_since
        return since is not None and time.monotonic() - since >= self._desk.patience_s


def _select_subprotocol(wire: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Ours where the client offers it; a client may offer others, or none."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
