"""One client's connection in HTTP/1.1: its requests, in their order, and their answers.

A request that comes while another is answered waits, and what comes behind that one is not parsed
yet. A single step that arrives in one piece and has nothing to wait for but its run is answered
without a task (direct_reply.py). Everything else goes through ASGI's messages (cycle.py).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from carousel.service.api.http.answer import LAST_ANSWER, Header
from carousel.service.api.http.problem import problem
from carousel.service.api.server.asgi import http_scope
from carousel.service.api.server.cycle import Cycle
from carousel.service.api.server.direct_reply import DirectReply, render
from carousel.service.api.server.gate import Gate
from carousel.service.api.server.idle_timer import IdleTimer
from carousel.service.api.server.request_reader import SLICE_BYTES, RequestReader, written
from carousel.service.api.streams.call import is_stream
from carousel.service.api.streams.connection import StreamConnection
from carousel.service.errors import CarouselError

log = logging.getLogger("carousel.server")


class HttpConnection(asyncio.Protocol):
    """Owned by the event loop."""

    def __init__(self, config: uvicorn.Config, server_state: ServerState, **unused: Any) -> None:
        self._gate = cast(Gate, config.app)
        self._state = server_state
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader(self)
        # The body so far of a request that may be answered without a task; None for all others.
        self._held_body: bytes | None = None
        self._incoming: Cycle | None = None
        self._owed: Cycle | DirectReply | None = None
        self._waiting: deque[Cycle] = deque()
        self._is_held_back = False
        # What came and is not parsed yet.
        self._rest = b""
        # Why nothing is taken any more; told once all that was taken before is answered.
        self._refusal: CarouselError | None = None
        self._idle = IdleTimer(config.timeout_keep_alive, self._is_busy, self._close)
        # There while the client leaves unread what it was sent; set once it reads or is gone.
        self._read_again: asyncio.Event | None = None

    def __repr__(self) -> str:
        return f"<HttpConnection owed={self._owed!r} waiting={len(self._waiting)}>"

    @property
    def default_headers(self) -> Sequence[Header]:
        """What every answer says; a new list once a second."""
        return self._state.default_headers

    @property
    def unread_bytes(self) -> int:
        """What was written and the client has not taken."""
        return self._transport.get_write_buffer_size()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._state.connections.add(cast(Any, self))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, or was sent away."""
        self._leave()
        for each in (self._owed, *self._waiting):
            if each is not None:
                each.abandon()
        self._waiting.clear()
        self._owed = self._incoming = None
        if self._read_again is not None:
            self._read_again.set()

    def data_received(self, data: bytes) -> None:
        """Bytes as they came."""
        if self._rest:
            # Reading was paused; these were on their way already.
            self._rest += data
        elif self._refusal is None:
            self._read(data)

    def pause_writing(self) -> None:
        """The client does not read what it is sent."""
        self._read_again = asyncio.Event()
        self._gate.unread.left(self)

    def resume_writing(self) -> None:
        """It reads again."""
        if self._read_again is not None:
            self._read_again.set()
            self._read_again = None
        self._gate.unread.taken(self)

    def shutdown(self) -> None:
        """The service ends: what is owed is answered, and then the client is sent away."""
        if self._owed is None:
            self._transport.close()
        else:
            self._owed.finish()

    def close_if_late(self, now: float) -> None:
        """Close if the head of a request does not come."""
        if self._reader.is_late(now):
            self._transport.close()

    # What answers call.

    def write(self, data: bytes) -> None:
        """Write now."""
        self._transport.write(data)
        if self._read_again is not None:
            self._gate.unread.left(self)

    async def writable(self) -> None:
        """Wait until the client reads."""
        if self._read_again is not None:
            await self._read_again.wait()

    def hold_back(self) -> None:
        """Stop reading, until `read_on`."""
        self._is_held_back = True
        self._transport.pause_reading()

    def read_on(self) -> None:
        """Read again, first what was put aside."""
        if self._transport.is_closing():
            return
        self._is_held_back = False
        rest, self._rest = self._rest, b""
        if rest:
            self._read(rest)
        if not self._is_held_back:
            self._transport.resume_reading()

    def answered(self, *, is_last: bool) -> None:
        """An answer was written: what waits goes on, or the client's next is waited for."""
        self._owed = None
        if is_last or self._transport.is_closing():
            self._transport.close()
            return
        self._idle.answered()
        if self._waiting:
            self._begin_cycle(self._waiting.popleft())
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif self._is_held_back:
            # Not at once: an answer that is there at once would call this again.
            self._loop.call_soon(self.read_on)

    def break_off(self) -> None:
        """Close at once, in the midst of an answer, or for what is left unread."""
        self._transport.abort()

    # What the reader finds.

    def begin_request(self) -> None:
        """A head is whole."""
        if self._owed is None and self._read_again is None and self._reader.head.may_be_direct:
            self._held_body = b""
        else:
            self._take_cycle()

    def take_body(self, body: bytes) -> None:
        """More of a body."""
        if self._held_body is not None:
            self._held_body += body
        elif self._incoming is not None:
            self._incoming.feed(body)

    def end_request(self) -> None:
        """A request is whole."""
        if self._held_body is not None:
            if self._begin_direct(self._held_body):
                self._held_body = None
                return
            self._take_cycle()
        if self._incoming is not None:
            self._incoming.end()
            self._incoming = None

    def _read(self, data: bytes) -> None:
        """Parse it in slices, for as long as nothing has to wait."""
        at, size = 0, len(data)
        view = data if size <= SLICE_BYTES else memoryview(data)
        try:
            while at < size and not self._waiting:
                piece = view[at : at + SLICE_BYTES]
                end = self._reader.read(piece)
                if end is None:
                    at += len(piece)
                else:
                    # Behind it begins another protocol, or the one it asks for is not there.
                    view = self._upgrade(bytes(view[at + end :]))
                    at, size = 0, len(view)
        except CarouselError as error:
            self._give_up(error)
            return
        if self._held_body is not None:
            # It is not whole yet: the other way bounds the time that it may take.
            self._take_cycle()
        if at < size:
            self._rest = bytes(view[at:])
            self.hold_back()

    def _begin_direct(self, body: bytes) -> bool:
        reply = DirectReply(self)
        head = self._reader.head
        request = self._gate.begin(head.target.decode("latin-1"), head.headers, body, reply.send)
        if request is None:
            return False
        reply.began(request)
        self._owed = reply
        return True

    def _take_cycle(self) -> None:
        """Answer the request through ASGI, or let it wait for those before it."""
        head = self._reader.head
        body, self._held_body = self._held_body, None
        cycle = self._incoming = Cycle(self, http_scope(head, self._transport), head)
        if body:
            cycle.feed(body)
        if self._owed is None:
            self._begin_cycle(cycle)
        else:
            self._waiting.append(cycle)

    def _begin_cycle(self, cycle: Cycle) -> None:
        self._owed = cycle
        task = self._loop.create_task(cycle.run(self._gate))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _is_busy(self) -> bool:
        return self._owed is not None or self._reader.is_in_head

    def _close(self) -> None:
        self._transport.close()

    def _upgrade(self, rest: bytes) -> bytes:
        """Go on as a WebSocket where that is what was asked for, at a path that is one; else what
        is still to be parsed. Raises MethodNotAllowed.
        """
        head = self._reader.head
        names = set(head.values(b"upgrade"))
        path = head.target.decode("latin-1")
        if self._owed is not None or names != {b"websocket"} or not is_stream(path):
            return self._reader.decline_upgrade() + rest
        self._leave()
        stream = StreamConnection(self._gate.streams, cast(Any, self._state.connections))
        self._transport.set_protocol(stream)
        stream.connection_made(self._transport)
        stream.upgraded(written(head.method, head.target, head.headers), rest)
        return b""

    def _give_up(self, error: CarouselError) -> None:
        """Take nothing more, and say why behind what is owed; a request that is not whole gets no
        other answer.
        """
        self._refusal = error
        cycle, self._incoming, self._held_body = self._incoming, None, None
        if cycle is not None:
            cycle.abandon()
            if cycle is self._owed:
                self._owed = None
            elif cycle in self._waiting:
                self._waiting.remove(cycle)
            else:
                # It was answered before it was whole, and gets no second answer.
                self._transport.close()
                return
        if self._owed is None:
            self._refuse(error)

    def _refuse(self, error: CarouselError) -> None:
        """Answer what is no request that the gate could answer, and close."""
        log.warning("refused what a client sent: %s", error.detail)
        answer = problem(error)
        answer.headers.append(LAST_ANSWER)
        self._transport.write(render(answer, self.default_headers))
        self._transport.close()

    def _leave(self) -> None:
        """This is not the connection's protocol any more, or there is no connection."""
        self._state.connections.discard(cast(Any, self))
        self._gate.unread.taken(self)
        self._idle.cancel()
        self._reader.end()
