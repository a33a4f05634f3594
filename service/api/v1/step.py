"""`POST /v1/sessions/{id}/steps`: the hottest route of all."""

from functools import partial

from carousel.service.api.encoding.codec import Codec, Codecs
from carousel.service.api.encoding.json_size import LargestRequest
from carousel.service.api.http.answer import Answer, Header, Reply
from carousel.service.api.http.exchange import Abandonable, Exchange
from carousel.service.api.http.memory_budget import COUNTED_BYTES
from carousel.service.api.http.step_call import LongStepCall, StepCall
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import POSITION_HEADER, RAW_INPUT, TIMEOUT, encodings, flag
from carousel.service.api.openapi.operation import post
from carousel.service.api.openapi.refusals import STEP, refusals
from carousel.service.api.v1.data_bodies import StepBody, StepResult
from carousel.service.api.v1.media.choose import (
    RAW,
    SAFETENSORS,
    media_for_outputs,
    media_of,
    text_of,
)
from carousel.service.api.v1.media.media import Media
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.session_record import Key
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.step import Step

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

    def begin(self, exchange: Exchange, reply: Reply) -> Abandonable:
        """Begin a step."""
        key = (exchange.tenant, exchange.parts[3])
        parse = partial(self._parse, exchange)
        call: StepCall[Answer]
        if len(exchange.body) < COUNTED_BYTES or len(text := text_of(exchange)) < COUNTED_BYTES:
            call = StepCall(self._transcoder, parse, reply)
        else:
            call = LongStepCall(
                self._transcoder, parse, reply, text, partial(self._find, key), self._largest
            )
        call.begin(self._sessions.begin, key, exchange.deadline)
        return call

    def _parse(self, exchange: Exchange, loaded: LoadedModel) -> "_Work":
        codec = self._codecs.of(loaded)
        given = media_of(exchange.content_type)
        step = given.read_step(exchange, codec)
        media = media_for_outputs(
            exchange.accept, given, codec.outputs, with_state=step.return_state
        )
        return _Work(codec, step, media)

    def _largest(self, loaded: LoadedModel) -> LargestRequest:
        return self._codecs.of(loaded).largest

    async def _find(self, key: Key) -> LoadedModel:
        return (await self._sessions.find(*key)).loaded


class _Work:
    """A step, and how it is answered."""

    __slots__ = ("_codec", "_media", "answer_bytes", "step")

    def __init__(self, codec: Codec, step: Step, media: Media) -> None:
        self.step = step
        self.answer_bytes = codec.answer_size.of_step(step)
        self._codec = codec
        self._media = media

    def answer(self, reply: StepReply) -> Answer:
        """What it is answered."""
        sent = self._media.write_step(self._codec, reply)
        if reply.replayed:
            sent.headers.append(_REPLAYED)
        return sent
