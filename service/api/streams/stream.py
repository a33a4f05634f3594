"""A conversation with one session: frames in, replies out, one at a time and in order.

It knows nothing of sockets: `ClientLink` is what it speaks through. Steps with nothing to wait for
but their run go without a task, as over HTTP.
"""

import asyncio
import time

from carousel.service.api.encoding.codec import Codec
from carousel.service.api.http.memory_budget import COUNTED_BYTES
from carousel.service.api.http.problem import unexpected
from carousel.service.api.streams.client_link import ClientLink
from carousel.service.api.streams.closing import Close, close_for, ends_stream
from carousel.service.api.streams.frame_queue import FrameQueue
from carousel.service.api.streams.message import (
    Frame,
    Sync,
    read_frame,
    write_error,
    write_reply,
    write_sync,
)
from carousel.service.api.streams.services import StreamServices
from carousel.service.api.streams.stream_state import State
from carousel.service.engine.request import Abandoned, Request
from carousel.service.errors import CarouselError
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.session import Session
from carousel.service.sessions.step_runner import Step


class Stream:
    """Owned by the event loop. `reached`: the position that the next frame starts from unless it
    names another.
    """

    def __init__(
        self, services: StreamServices, link: ClientLink, tenant: str, session_id: str, route: str
    ) -> None:
        self.tenant = tenant
        self.session_id = session_id
        self.reached = 0
        self._services = services
        self._sessions = services.sessions
        self._link = link
        self._route = route
        self._waiting = FrameQueue(services, link.hold_back)
        self._frame: Frame | None = None
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._refusal: CarouselError | None = None
        self._can_send = True
        self._state = State.OPEN
        # Those who wait until no step runs.
        self._settled: asyncio.Event | None = None

    def __repr__(self) -> str:
        is_open = self._state is State.OPEN
        state = ("busy" if self._frame else "idle") if is_open else self._state.value
        return f"<Stream {self.session_id} {state} at {self.reached} waiting={len(self._waiting)}>"

    def receive(self, frame: Frame) -> None:
        """Take a frame; what comes once the service refuses requests is not accepted."""
        if self._state is not State.OPEN or self._services.lifecycle.is_refusing:
            return
        self._services.lifecycle.accept()
        if self._frame is None and self._can_send and not self._waiting:
            self._begin(frame)
            return
        self._waiting.put(frame)
        if self._frame is None:
            self._go_on()

    def set_can_send(self, can_send: bool) -> None:
        """Whether the client takes what it is sent; until it does, no other frame is begun."""
        self._can_send = can_send
        if can_send and self._frame is None:
            self._go_on()

    async def give_up(self) -> None:
        """Another stream takes the session over: end, once the running step is committed."""
        self._drop_waiting()
        if self._state is State.OPEN:
            self._state = State.LEAVING
        if self._frame is None:
            self._leave()
        await self.settled()

    def end(self, code: Close, reason: str) -> None:
        """Close from this side."""
        if not self._is_over:
            self._state = State.ENDED
            self._drop_waiting()
            self._link.close(code, reason)

    def lost(self) -> None:
        """The client has gone; a step that runs is committed, one that waits is not begun."""
        self._state = State.ENDED
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
    def _is_over(self) -> bool:
        return self._state is State.ENDED

    def _go_on(self) -> None:
        while self._waiting and self._frame is None and self._can_send and not self._is_over:
            self._begin(self._waiting.take())

    def _begin(self, frame: Frame) -> None:
        self._frame = frame
        self._waiting.began(frame)
        session = self._sessions.peek(self.tenant, self.session_id)
        try:
            if session is None or not self._begin_at_once(frame, session):
                self._task = asyncio.ensure_future(self._run(frame))
        except CarouselError as error:
            self._refuse(error)
        except Exception as error:
            self._refuse(unexpected(error, where=self._route))

    def _begin_at_once(self, frame: Frame, session: Session) -> bool:
        """Begin a step without a task; False where it needs one. What is answered here is so."""
        if frame.is_text and len(frame.data) >= COUNTED_BYTES:
            return False  # it takes a while to read
        codec = self._services.codecs.of(session.loaded)
        try:
            found = self._read(frame, codec)
        except CarouselError:
            if self._sessions.store.shared:
                return False
            raise
        step = self._take(found)
        if step is None:
            return True
        if codec.answer_size.of_step(step) >= COUNTED_BYTES:
            return False  # it takes a while to write

        def done(outcome: StepReply | BaseException) -> None:
            self._request = None
            try:
                if isinstance(outcome, StepReply):
                    self._reply(step, outcome, write_reply(frame, codec, outcome))
                else:
                    self._fail(outcome)
            except Exception as error:
                self._fail(error)

        request = self._sessions.begin(session, step, done)
        self._request = request
        return request is not None

    async def _run(self, frame: Frame) -> None:
        """The same for a session that must be loaded, or a step that is judged first."""
        try:
            session = await self._sessions.find(self.tenant, self.session_id)
            try:
                found = await self._decode(frame, session)
            except CarouselError:
                if not self._sessions.store.shared:
                    raise
                # Another server may have opened the id anew, on another model.
                session = await self._sessions.refresh(
                    self.tenant, self.session_id, deadline=self._deadline()
                )
                found = await self._decode(frame, session)
            step = self._take(found)
            if step is not None:
                await self._step(frame, session, step)
        except Exception as error:
            self._fail(error)

    async def _step(self, frame: Frame, session: Session, step: Step) -> None:
        codec, transcoder = self._services.codecs.of(session.loaded), self._services.transcoder
        num_bytes = codec.answer_size.of_step(step)
        with transcoder.hold(num_bytes):
            reply = await self._sessions.step(session, step)
            data = await transcoder.write(num_bytes, lambda: write_reply(frame, codec, reply))
            self._reply(step, reply, data)

    def _deadline(self) -> float:
        return time.monotonic() + self._services.deadline_s

    def _read(self, frame: Frame, codec: Codec) -> Step | Sync | None:
        """What a frame is; None after a refusal, until one names its position."""
        return read_frame(frame, codec, self._deadline(), must_name=self._refusal is not None)

    async def _decode(self, frame: Frame, session: Session) -> Step | Sync | None:
        """The same beside the loop, where it takes a while."""
        text = frame.data if frame.is_text else b""
        codec = self._services.codecs.of(session.loaded)
        return await self._services.transcoder.read(
            text, self._deadline(), lambda: self._read(frame, codec), lambda: codec.largest
        )

    def _take(self, found: Step | Sync | None) -> Step | None:
        """The step that a frame is, its position named; None for one that was answered already."""
        if found is None:
            assert self._refusal is not None
            raise self._refusal
        self._refusal = None
        if isinstance(found, Sync):
            self.reached = found.position
            self._send(write_sync(found.position), is_text=True, status=200)
            return None
        if found.position is None:
            found.position = self.reached
        return found

    def _reply(self, step: Step, reply: StepReply, data: bytes) -> None:
        assert self._frame is not None
        if step.commit:
            self.reached = reply.position
        self._send(data, is_text=self._frame.is_text, status=200)

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
            if not self._is_over:
                self._link.send(data, is_text=is_text)
            self._services.traffic.count(self._route, status, time.monotonic() - frame.arrived)
        finally:
            self._finish()

    def _finish(self) -> None:
        """The frame is answered, or its client gone: the next."""
        self._frame = self._task = None
        self._services.lifecycle.answered()
        self._waiting.finished()
        if self._settled is not None:
            self._settled.set()
            self._settled = None
            if self._state is State.LEAVING:
                self._leave()
        if self._waiting:
            # Not at once: from `_go_on` this would call itself once for each frame that waits.
            asyncio.get_running_loop().call_soon(self._go_on)

    def _drop_waiting(self) -> None:
        for _ in range(self._waiting.clear()):
            self._services.lifecycle.answered()

    def _leave(self) -> None:
        """End for the newer stream, which may be gone by now."""
        self.end(Close.TAKEN_OVER, "another stream has taken the session over")
