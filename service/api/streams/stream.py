"""A conversation with one session: frames in, replies out, one at a time and in order.

It knows nothing of sockets: `ClientLink` is what it speaks through.
"""

import asyncio
import time
from functools import partial

from carousel.service.api.encoding.json_size import LargestRequest
from carousel.service.api.http.memory_budget import COUNTED_BYTES
from carousel.service.api.http.problem import unexpected
from carousel.service.api.http.step_call import LongStepCall, StepCall
from carousel.service.api.streams.client_link import ClientLink
from carousel.service.api.streams.closing import Close, close_for, ends_stream
from carousel.service.api.streams.frame_queue import FrameQueue
from carousel.service.api.streams.message import (
    Frame,
    FrameWork,
    Sync,
    Unnamed,
    read_frame,
    write_error,
    write_sync,
)
from carousel.service.api.streams.services import StreamServices
from carousel.service.api.streams.stream_state import State
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.request import Abandoned
from carousel.service.errors import CarouselError


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
        self._call: StepCall[tuple[int | None, bytes]] | None = None
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
        if self._call is not None:
            self._call.abandon()

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
        deadline = time.monotonic() + self._services.deadline_s
        transcoder, parse = self._services.transcoder, partial(self._read, frame, deadline)
        if not frame.is_text or len(frame.data) < COUNTED_BYTES:
            self._call = StepCall(transcoder, parse, self._told)
        else:
            self._call = LongStepCall(
                transcoder, parse, self._told, frame.data, self._find, self._largest
            )
        self._call.begin(self._sessions.begin, (self.tenant, self.session_id), deadline)

    def _largest(self, loaded: LoadedModel) -> LargestRequest:
        return self._services.codecs.of(loaded).largest

    async def _find(self) -> LoadedModel:
        return (await self._sessions.find(self.tenant, self.session_id)).loaded

    def _read(self, frame: Frame, deadline: float, loaded: LoadedModel) -> FrameWork:
        """What a frame is to the session's model; raises NoStep where it is no step."""
        codec = self._services.codecs.of(loaded)
        step = read_frame(frame, codec, deadline, must_name=self._refusal is not None)
        if step.position is None:
            step.position = self.reached
        return FrameWork(codec, step, is_text=frame.is_text)

    def _told(self, answer: tuple[int | None, bytes] | Exception) -> None:
        """What came of the frame."""
        self._call = None
        try:
            if isinstance(answer, Exception):
                self._fail(answer)
                return
            self._refusal = None
            reached, data = answer
            if reached is not None:
                self.reached = reached
            assert self._frame is not None
            self._send(data, is_text=self._frame.is_text, status=200)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        if isinstance(error, Sync):
            self._refusal = None
            self.reached = error.position
            self._send(write_sync(error.position), is_text=True, status=200)
        elif isinstance(error, Unnamed):
            assert self._refusal is not None
            self._refuse(self._refusal)
        elif isinstance(error, Abandoned):
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
        self._frame = None
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
