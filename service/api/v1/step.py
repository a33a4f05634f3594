"""`POST /v1/sessions/{id}/steps`: the hottest route of all."""

import asyncio

from carousel.service.api.encoding.codec import Codec, Codecs
from carousel.service.api.http.answer import Answer, Header, Reply
from carousel.service.api.http.exchange import Abandonable, Exchange
from carousel.service.api.http.memory_budget import COUNTED_BYTES
from carousel.service.api.http.problem import problem, unexpected
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import POSITION_HEADER, RAW_INPUT, TIMEOUT, encodings, flag
from carousel.service.api.openapi.operation import post
from carousel.service.api.openapi.refusals import STEP, refusals
from carousel.service.api.v1.data_bodies import StepBody, StepResult
from carousel.service.api.v1.media.choose import (
    JSON,
    RAW,
    SAFETENSORS,
    media_for_outputs,
    media_of,
    text_of,
)
from carousel.service.api.v1.media.media import Media
from carousel.service.engine.request import Abandoned, Request
from carousel.service.errors import CarouselError
from carousel.service.sessions.deadline import within
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.session import Session
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.step_runner import Step

_REPLAYED: Header = (b"carousel-replayed", b"true")

_PATHS = post(
    {"/v1/sessions/{session_id}/steps": "step"},
    tag="steps",
    summary="Feed a session its next time steps",
    description="A step that names its position is run once, however often it is sent. "
    + RAW_INPUT,
    parameters=[
        flag("return_state", "Answer the state too. In JSON also a member of the body."),
        flag("commit", "False moves nothing. In JSON also a member of the body."),
        {
            "name": "Carousel-Position",
            "in": "header",
            "description": "In binary: the position that the step starts from.",
            "schema": {"type": "integer", "minimum": 0},
        },
        TIMEOUT,
    ],
    body=encodings(StepBody, examples.STEP, RAW.name, SAFETENSORS.name),
    answer={
        "description": "The outputs; with a state, a binary answer is safetensors.",
        "headers": {
            "Carousel-Position": POSITION_HEADER,
            "Carousel-Replayed": {
                "description": "`true` where the recorded reply came again and nothing moved.",
                "schema": {"type": "string"},
            },
        },
        "content": encodings(StepResult, None, RAW.name, SAFETENSORS.name),
    },
    refusals=refusals(*STEP),
)


class StepRoute:
    """Feeds a session one or more time steps."""

    paths = _PATHS

    def __init__(self, sessions: Sessions, codecs: Codecs, transcoder: Transcoder) -> None:
        self._sessions = sessions
        self._codecs = codecs
        self._transcoder = transcoder

    def __repr__(self) -> str:
        return f"<StepRoute {self._sessions!r}>"

    async def __call__(self, exchange: Exchange) -> Answer:
        session_id = exchange.parts[3]
        session = self._sessions.peek(exchange.tenant, session_id)
        if session is None:
            finding = self._sessions.find(exchange.tenant, session_id)
            session = await within(exchange.deadline(), finding, "its session")
        try:
            codec, step, media = await self._decode(exchange, session)
        except CarouselError:
            if not self._sessions.store.shared:
                raise
            # Another server may have opened the id anew, on another model.
            session = await self._sessions.refresh(
                exchange.tenant, session_id, deadline=exchange.deadline()
            )
            codec, step, media = await self._decode(exchange, session)
        num_bytes = codec.answer_size.of_step(step)
        with self._transcoder.hold(num_bytes):
            reply = await self._sessions.step(session, step)
            return await self._transcoder.write(num_bytes, lambda: _write(codec, reply, media))

    def begin(self, exchange: Exchange, send: Reply) -> Abandonable | None:
        """Start answering a step without a task; `send` is called later.

        None, or an error, where it does not work: nothing was begun then.
        """
        session = self._sessions.peek(exchange.tenant, exchange.parts[3])
        if session is None:
            return _Fetched(self, exchange, send)
        return None if session.busy else self._begin(exchange, session, send)

    def _begin(self, exchange: Exchange, session: Session, send: Reply) -> Request | None:
        try:
            codec, step, media = self._read(exchange, session)
        except CarouselError:
            if self._sessions.store.shared:
                return None
            raise
        if codec.answer_size.of_step(step) >= COUNTED_BYTES:
            return None

        # Only that: what is kept until the answer is kept once for each session in flight.
        request_id = exchange.request_id

        def done(outcome: StepReply | BaseException) -> None:
            send(_answer(outcome, request_id, codec, media))

        return self._sessions.begin(session, step, done)

    async def _decode(self, exchange: Exchange, session: Session) -> tuple[Codec, Step, Media]:
        """As `_read`, and where that takes a while beside the loop."""
        return await self._transcoder.read(
            text_of(exchange),
            exchange.deadline(),
            lambda: self._read(exchange, session),
            lambda: self._codecs.of(session.loaded).largest,
        )

    def _read(self, exchange: Exchange, session: Session) -> tuple[Codec, Step, Media]:
        codec = self._codecs.of(session.loaded)
        given = media_of(exchange.content_type)
        step = given.read_step(exchange, codec)
        media = media_for_outputs(
            exchange.accept, given, codec.outputs, with_state=step.return_state
        )
        return codec, step, media


class _Fetched:
    """A step whose session is being brought in from the store; then it goes on as any other."""

    def __init__(self, route: StepRoute, exchange: Exchange, send: Reply) -> None:
        self._route = route
        self._exchange = exchange
        self._send = send
        self._abandoned = False
        self._request: Request | None = None
        self._task: asyncio.Task[Answer] | None = None
        route._sessions.fetch(exchange.tenant, exchange.parts[3], self._go_on)

    @property
    def abandoned(self) -> bool:
        """Whether the client has gone."""
        return self._abandoned

    @abandoned.setter
    def abandoned(self, value: bool) -> None:
        self._abandoned = value
        if self._request is not None:
            self._request.abandoned = value
        if self._task is not None:
            self._task.cancel()

    def _go_on(self, found: Session | Exception) -> None:
        if self._abandoned:
            self._send(None)
            return
        try:
            if isinstance(found, Exception):
                raise found
            self._request = self._route._begin(self._exchange, found, self._send)
        except Exception as error:
            self._send(_answer(error, self._exchange.request_id))
        else:
            if self._request is None:
                # It has to wait after all: for its turn, or to be judged.
                self._task = asyncio.ensure_future(self._route(self._exchange))
                # Not inside of the task: one that is cancelled before it begins runs nothing.
                self._task.add_done_callback(self._waited)

    def _waited(self, task: "asyncio.Task[Answer]") -> None:
        if task.cancelled():
            self._send(None)
            return
        error = task.exception()
        self._send(task.result() if error is None else _answer(error, self._exchange.request_id))


def _answer(
    outcome: StepReply | BaseException,
    request_id: str,
    codec: Codec | None = None,
    media: Media = JSON,
) -> Answer | None:
    """What a step is answered; None where nobody is there to read it."""
    if isinstance(outcome, StepReply):
        assert codec is not None
        try:
            return _write(codec, outcome, media)
        except Exception as error:
            # Whatever went wrong, somebody waits for an answer.
            outcome = error
    if isinstance(outcome, Abandoned):
        return None
    if not isinstance(outcome, CarouselError):
        outcome = unexpected(outcome, where="a step", request_id=request_id)
    return problem(outcome, is_step=True, request_id=request_id)


def _write(codec: Codec, reply: StepReply, media: Media) -> Answer:
    sent = media.write_step(codec, reply)
    if reply.replayed:
        sent.headers.append(_REPLAYED)
    return sent
