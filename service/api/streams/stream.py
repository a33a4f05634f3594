"""A conversation with one session: frames in, replies out, one at a time and in order.

It knows nothing of sockets: `Link` is what it speaks through. Steps with nothing to wait for but
their run go without a task, as over HTTP.
"""

import asyncio
import time
from collections import deque
from typing import Protocol

from carousel.service.api.http.budget import COUNTED_BYTES
from carousel.service.api.http.problem import unexpected
from carousel.service.api.streams.closing import Close, close_for, ends_stream
from carousel.service.api.streams.desk import Desk
from carousel.service.api.streams.message import (
    Frame,
    Sync,
    names_position,
    read_frame,
    write_error,
    write_reply,
    write_sync,
)
from carousel.service.engine.request import Abandoned, Request
from carousel.service.errors import CarouselError
from carousel.service.sessions.answers import StepReply
from carousel.service.sessions.session import Session
from carousel.service.sessions.stepper import Step

# A client may have eight frames unanswered as it counts; what is on the wire may be as many again.
_MAX_WAITING = 16
# What a frame takes beside its data, about.
_FRAME_BYTES = 128


class Link(Protocol):
    """The connection under a stream."""

    def send(self, data: bytes, *, is_text: bool) -> None:
        """Send one message."""

    def close(self, code: Close, reason: str) -> None:
        """End the connection, after what was sent."""

    def hold_back(self, held: bool) -> None:
        """Stop reading what the client sends, or read on."""


class Stream:
    """Owned by the event loop. `reached`: the position that the next frame starts from unless it
    names another.
    """

    def __init__(self, desk: Desk, link: Link, tenant: str, session_id: str, route: str) -> None:
        self.tenant = tenant
        self.session_id = session_id
        self.reached = 0
        self._desk = desk
        self._link = link
        self._route = route
        self._waiting: deque[Frame] = deque()
        self._waiting_bytes = 0
        # What the budget has been told.
        self._counted_bytes = 0
        self._held_back = False
        self._frame: Frame | None = None
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._refusal: CarouselError | None = None
        self._can_send = True
        self._leaving = False
        self._ended = False
        # Those who wait until no step runs.
        self._settled: asyncio.Event | None = None

    def __repr__(self) -> str:
        state = "ended" if self._ended else "busy" if self._frame else "idle"
        return f"<Stream {self.session_id} {state} at {self.reached} waiting={len(self._waiting)}>"

    def receive(self, frame: Frame) -> None:
        """Take a frame; what comes once the service refuses requests is not accepted."""
        if self._leaving or self._ended or self._desk.lifecycle.is_refusing:
            return
        self._desk.lifecycle.accept()
        if self._frame is None and self._can_send and not self._waiting:
            self._begin(frame)
            return
        self._waiting.append(frame)
        self._waiting_bytes += len(frame.data) + _FRAME_BYTES
        if self._waiting_bytes >= COUNTED_BYTES:
            self._count()
        if self._is_full:
            self._held_back = True
            self._link.hold_back(True)
        if self._frame is None:
            self._go_on()

    def set_can_send(self, can_send: bool) -> None:
        """Whether the client takes what it is sent; until it does, no other frame is begun."""
        self._can_send = can_send
        if can_send and self._frame is None:
            self._go_on()

    async def give_up(self) -> None:
        """Another stream takes the session over: end, once the running step is committed."""
        self._leaving = True
        self._drop_waiting()
        if self._frame is None:
            self._leave()
        await self.settled()

    def end(self, code: Close, reason: str) -> None:
        """Close from this side."""
        if not self._ended:
            self._ended = True
            self._drop_waiting()
            self._link.close(code, reason)

    def lost(self) -> None:
        """The client has gone; a step that runs is committed, one that waits is not begun."""
        self._ended = True
        self._drop_waiting()
        if self._request is not None:
            self._request.abandoned = True

    async def settled(self) -> None:
        """Wait until no step runs."""
        while self._frame is not None:
            if self._settled is None:
                self._settled = asyncio.Event()
            await self._settled.wait()

    @property
    def _is_full(self) -> bool:
        return (
            len(self._waiting) >= _MAX_WAITING
            or self._waiting_bytes > self._desk.max_message_bytes
            or (self._waiting_bytes >= COUNTED_BYTES and not self._desk.budget.has_room)
        )

    def _go_on(self) -> None:
        while self._waiting and self._frame is None and self._can_send and not self._ended:
            frame = self._waiting.popleft()
            self._waiting_bytes -= len(frame.data) + _FRAME_BYTES
            if self._held_back and not self._is_full:
                self._held_back = False
                self._link.hold_back(False)
            self._begin(frame)

    def _begin(self, frame: Frame) -> None:
        self._frame = frame
        if len(frame.data) >= COUNTED_BYTES:
            self._count()
        session = self._desk.sessions.peek(self.tenant, self.session_id)
        try:
            if session is None or not self._begin_at_once(frame, session):
                self._task = asyncio.ensure_future(self._run(frame))
        except CarouselError as error:
            self._refuse(error)
        except Exception as error:
            self._refuse(unexpected(error, where=self._route))

    def _begin_at_once(self, frame: Frame, session: Session) -> bool:
        """Begin a step without a task; False where it needs one. What is answered here is so."""
        try:
            step = self._read(frame, session)
        except CarouselError:
            if self._refusal is None and self._desk.sessions.store.shared:
                return False
            raise
        if step is None:
            return True

        def done(outcome: StepReply | BaseException) -> None:
            self._request = None
            try:
                if isinstance(outcome, StepReply):
                    self._reply(session, step, outcome)
                else:
                    self._fail(outcome)
            except Exception as error:
                self._fail(error)

        request = self._desk.sessions.begin(session, step, done)
        self._request = request
        return request is not None

    async def _run(self, frame: Frame) -> None:
        """The same for a session that must be loaded, or a step that is judged first."""
        try:
            session = await self._desk.sessions.find(self.tenant, self.session_id)
            try:
                step = self._read(frame, session)
            except CarouselError:
                if self._refusal is not None or not self._desk.sessions.store.shared:
                    raise
                # Another server may have opened the id anew, on another model.
                session = await self._desk.sessions.refresh(
                    self.tenant, self.session_id, deadline=time.monotonic() + self._desk.deadline_s
                )
                step = self._read(frame, session)
            if step is not None:
                self._reply(session, step, await self._desk.sessions.step(session, step))
        except Exception as error:
            self._fail(error)

    def _read(self, frame: Frame, session: Session) -> Step | None:
        """The step that a frame is, its position named; None for one that was answered already."""
        if self._refusal is not None:
            if not names_position(frame):
                raise self._refusal
            self._refusal = None
        deadline = time.monotonic() + self._desk.deadline_s
        found = read_frame(frame, self._desk.codecs.of(session.loaded), deadline)
        if isinstance(found, Sync):
            self.reached = found.position
            self._send(write_sync(found.position), is_text=True, status=200)
            return None
        if found.position is None:
            found.position = self.reached
        return found

    def _reply(self, session: Session, step: Step, reply: StepReply) -> None:
        frame = self._frame
        assert frame is not None
        if step.commit:
            self.reached = reply.position
        codec = self._desk.codecs.of(session.loaded)
        if frame.is_text:
            data = write_reply(
                codec, reply.outputs, reply.position, reply.state, replayed=reply.replayed
            )
        else:
            data = codec.outputs.raw(reply.outputs)
        self._send(data, is_text=frame.is_text, status=200)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Abandoned):
            self._finish()
        elif isinstance(error, CarouselError):
            self._refuse(error)
        else:
            self._refuse(unexpected(error, where=self._route))

    def _refuse(self, error: CarouselError) -> None:
        """Answer with an error; what comes behind is refused likewise until it names a position."""
        if self._frame is None:
            return  # what failed was the sending of its answer
        self._refusal = error
        self._send(write_error(error, self.reached), is_text=True, status=error.status)
        if ends_stream(error):
            self.end(close_for(error), error.code)

    def _send(self, data: bytes, *, is_text: bool, status: int) -> None:
        frame = self._frame
        assert frame is not None
        try:
            if not self._ended:
                self._link.send(data, is_text=is_text)
            self._desk.traffic.count(self._route, status, time.monotonic() - frame.arrived)
        finally:
            self._finish()

    def _finish(self) -> None:
        """The frame is answered, or its client gone: the next."""
        self._frame = self._task = None
        self._desk.lifecycle.answered()
        if self._counted_bytes:
            self._count()
        if self._settled is not None:
            self._settled.set()
            self._settled = None
            if self._leaving:
                self._leave()
        if self._waiting:
            # Not at once: from `_go_on` this would call itself once for each frame that waits.
            asyncio.get_running_loop().call_soon(self._go_on)

    def _drop_waiting(self) -> None:
        for _ in self._waiting:
            self._desk.lifecycle.answered()
        self._waiting.clear()
        self._waiting_bytes = 0
        if self._counted_bytes:
            self._count()

    def _leave(self) -> None:
        """End for the newer stream, which may be gone by now."""
        self.end(Close.TAKEN_OVER, "another stream has taken the session over")

    def _count(self) -> None:
        """Tell the budget what the frames take that wait or run, where it is much."""
        held = self._waiting_bytes + (len(self._frame.data) if self._frame is not None else 0)
        if held < COUNTED_BYTES:
            held = 0
        self._desk.budget.add(held - self._counted_bytes)
        self._counted_bytes = held
