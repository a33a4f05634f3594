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
from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from carousel.service.api.http.memory_budget import COUNTED_BYTES
from carousel.service.api.http.problem import unexpected
from carousel.service.api.streams.attachment import Attachment
from carousel.service.api.streams.call import SUBPROTOCOL, read_headers
from carousel.service.api.streams.closing import Close, close_for
from carousel.service.api.streams.fragments import Fragments
from carousel.service.api.streams.framing import Splitter, frame_header
from carousel.service.api.streams.liveness import ClientLiveness
from carousel.service.api.streams.message import Frame, write_error
from carousel.service.api.streams.registry import StreamRegistry
from carousel.service.api.streams.stream import Stream
from carousel.service.errors import CarouselError, PayloadTooLarge, QueueFull, forget_frames

_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class StreamConnection(asyncio.Protocol):
    """One client. Owned by the event loop; the stream behind it speaks through `send`, `close` and
    `hold_back`.
    """

    def __init__(self, registry: StreamRegistry, connections: set[Any]) -> None:
        self._services = services = registry.services
        # uvicorn's, which waits for those in it when the service ends.
        self._connections = connections
        self._websocket = ServerProtocol(
            max_size=services.max_message_bytes,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            select_subprotocol=_select_subprotocol,
        )
        self._splitter = Splitter(services.max_message_bytes)
        self._attachment = Attachment(registry, self)
        self._stream: Stream | None = None
        self._early: list[Frame] = []
        self._early_bytes = 0
        self._fragments = Fragments()
        # What the budget has been told.
        self._counted_bytes = 0
        self._opening: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._held_back = False
        # Whether the client leaves unread what it was sent.
        self._is_unread = False

    def __repr__(self) -> str:
        return f"<StreamConnection {self._websocket.state.name} {self._stream!r}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection comes from the HTTP protocol, which read the head."""
        self._transport = cast(asyncio.Transport, transport)
        self._liveness = ClientLiveness(
            self._services, self._websocket, self._transport, self._flush
        )
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or was sent away."""
        self._connections.discard(self)
        self._services.unread.taken(self)
        self._liveness.end()
        if self._opening is not None:
            self._opening.cancel()
        if self._stream is not None:
            # Not a turn later: by then a reply may be there, and nothing to write it to.
            self._stream.lost()
        self._websocket.receive_eof()
        self._count()
        self._ending = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        await self._attachment.end(self._closed_with())
        # All of these lead back here, and would wait for the garbage collector with it.
        self._stream = self._opening = self._ending = None
        del self._attachment
        self._websocket.parser.close()
        for error in (self._websocket.handshake_exc, self._websocket.parser_exc):
            if error is not None:
                forget_frames(error)

    def upgraded(self, head: bytes, rest: bytes) -> None:
        """The head that asked for the connection, and what came behind it."""
        self._feed(head)
        self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        message = self._splitter.whole(data, now)
        if message is not None:
            if self._websocket.state is State.OPEN:
                self._receive(message)
            return
        for part in self._splitter.split(data, now):
            if isinstance(part, bytes):
                self._feed(part)
            elif self._websocket.state is State.OPEN:
                self._receive(part)

    def _feed(self, data: bytes) -> None:
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, WebSocketFrame):
                self._take(event)
            elif isinstance(event, Request):
                self._accept(event)
        self._count()
        self._flush()

    def eof_received(self) -> bool:
        """The client sends nothing more, not even a close."""
        self._websocket.receive_eof()
        self._flush()
        return False

    def pause_writing(self) -> None:
        """The client does not read what it is sent."""
        self._is_unread = True
        self._services.unread.left(self)
        self._liveness.left_unread()
        self._transport.pause_reading()
        if self._stream is not None:
            self._stream.set_can_send(False)

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_unread = False
        self._services.unread.taken(self)
        self._liveness.read_on()
        if not self._held_back:
            self._transport.resume_reading()
        if self._stream is not None:
            self._stream.set_can_send(True)

    @property
    def unread_bytes(self) -> int:
        """What was sent and the client has not taken."""
        return self._transport.get_write_buffer_size()

    def break_off(self) -> None:
        """Close at once, for what is left unread."""
        self._transport.abort()

    def shutdown(self) -> None:
        """uvicorn ends; streams were closed before, when the drain was done."""
        self.close(Close.RESTARTING, "the service is shutting down")

    def send(self, data: bytes, *, is_text: bool) -> None:
        """Send one message, unless the client is gone. What the library sends it sends at once."""
        if self._websocket.state is State.OPEN:
            self._transport.write(frame_header(len(data), is_text=is_text) + data)
            if self._is_unread:
                self._services.unread.left(self)

    def close(self, code: Close, reason: str) -> None:
        """Say why, and wait a while for the client to close its side; what else it sends is not
        taken.
        """
        try:
            self._websocket.send_close(code, reason)
        except InvalidState:
            return
        self._flush()
        self._take_early()
        self.hold_back(False)

    def hold_back(self, held: bool) -> None:
        """Stop reading, or read on."""
        self._held_back = held
        if held:
            self._transport.pause_reading()
        elif not self._liveness.is_unread:
            self._transport.resume_reading()

    def _accept(self, request: Request) -> None:
        response = self._websocket.accept(request)
        self._websocket.send_response(response)
        if response.status_code == 101:
            self._opening = asyncio.ensure_future(self._open(request))

    async def _open(self, request: Request) -> None:
        try:
            headers = read_headers(request.headers.raw_items())
            stream = await self._attachment.open(request.path, headers)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            known = (
                error if isinstance(error, CarouselError) else unexpected(error, where="a stream")
            )
            self.send(write_error(known, None), is_text=True)
            self.close(close_for(known), known.code)
            return
        stream.set_can_send(not self._liveness.is_unread)
        self._stream = stream
        self.hold_back(False)
        for frame in self._take_early():
            stream.receive(frame)

    def _take(self, event: WebSocketFrame) -> None:
        if event.opcode is Opcode.PONG:
            self._liveness.ponged()
        elif self._websocket.state is State.OPEN and event.opcode in _DATA:
            try:
                frame = self._fragments.add(event)
            except PayloadTooLarge as error:
                self._break_off(error)
                return
            if frame is not None:
                self._receive(frame)

    def _receive(self, frame: Frame) -> None:
        if self._stream is not None:
            self._stream.receive(frame)
        else:
            # The greeting has not been sent yet; what is more than this stays with the client.
            self._early.append(frame)
            self._early_bytes += len(frame.data)
            self._count()
            if len(self._early) == 1:
                self.hold_back(True)

    def _take_early(self) -> list[Frame]:
        early, self._early = self._early, []
        self._early_bytes = 0
        self._count()
        return early

    def _count(self) -> None:
        """Tell the budget what is held, if it is much, of a message not whole or come early."""
        held = self._splitter.num_unfinished + self._fragments.num_bytes + self._early_bytes
        if held < COUNTED_BYTES or self._websocket.eof_sent:  # the library forgets what it has then
            held = 0
        grown = held - self._counted_bytes
        if grown > 0:
            try:
                self._services.budget.take(grown)
            except QueueFull as error:
                self._break_off(error)
                return
        elif grown:
            self._services.budget.add(grown)
        self._counted_bytes = held

    def _break_off(self, error: CarouselError) -> None:
        """Close amid a message, whose rest is not waited for."""
        self._websocket.fail(close_for(error), f"{error.code}: {error.detail}")
        self._fragments.clear()
        self._take_early()
        self._flush()

    def _flush(self) -> None:
        if self._transport.is_closing():
            return
        for data in self._websocket.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
        if self._websocket.close_expected():
            self._liveness.closing()

    def _closed_with(self) -> int | None:
        """The code of the client's close, where it is not an answer to ours."""
        received = self._websocket.close_rcvd
        return (
            received.code if received is not None and self._websocket.close_rcvd_then_sent else None
        )


def _select_subprotocol(
    websocket: ServerProtocol, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    """Ours where the client offers it; a client may offer others, or none."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
