"""`POST /v2/models/{model}[/versions/{version}]/infer`: stateless, or a step of a sequence."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from carousel.service.api.encoding.json_size import LargestRequest
from carousel.service.api.http.answer import Answer, Reply
from carousel.service.api.http.exchange import Abandonable, Exchange, read_version
from carousel.service.api.http.in_task import InTask, awaited
from carousel.service.api.http.memory_budget import COUNTED_BYTES
from carousel.service.api.http.step_call import LongStepCall, StepCall
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import Node, encodings
from carousel.service.api.openapi.operation import post
from carousel.service.api.openapi.refusals import STEP
from carousel.service.api.v1.media.choose import RAW
from carousel.service.api.v1.work import run
from carousel.service.api.v2.bodies import OipRequest, OipResponse
from carousel.service.api.v2.fault import oip_refusals
from carousel.service.api.v2.oip_codec import OipCodec, OipCodecs
from carousel.service.api.v2.request import InferRequest, json_of, read_request
from carousel.service.api.v2.request_cache import CachedRequest, RequestCache
from carousel.service.api.v2.respond import respond
from carousel.service.api.v2.sequence_parameters import SequenceParameters, read_sequence
from carousel.service.api.v2.sequence_step import SequenceStep, make_step
from carousel.service.engine.catalog import Catalog
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.start_state import require_given
from carousel.service.errors import (
    CarouselError,
    ModelMismatch,
    ModelNotFound,
    NotStreamable,
    SessionLimit,
)
from carousel.service.sessions.sequences import Sequences

_Read = TypeVar("_Read")

# No request without this names a sequence; one that spells it otherwise goes the longer way.
_MARK = b'"sequence_id"'

_LENGTH = "Inference-Header-Content-Length"
_LENGTH_HEADER: Node = {
    "description": "Bytes of the JSON, where tensors in binary follow it.",
    "schema": {"type": "integer", "minimum": 0},
}
_PATHS = post(
    {
        "/v2/models/{model}/infer": "oip_infer",
        "/v2/models/{model}/versions/{version}/infer": "oip_infer_version",
    },
    tag="open inference protocol",
    summary="Infer, or step a sequence",
    description="Tensors in JSON, or in binary behind it (Triton's binary tensor "
    "extension); with `parameters.sequence_id` a step of a sequence, whose state is kept.",
    parameters=[{"name": _LENGTH, "in": "header", **_LENGTH_HEADER}],
    body=encodings(OipRequest, examples.OIP, RAW.name),
    answer={
        "description": "The outputs",
        "headers": {_LENGTH: _LENGTH_HEADER},
        "content": encodings(OipResponse, None, RAW.name),
    },
    refusals=oip_refusals(*STEP, ModelNotFound, NotStreamable, SessionLimit),
)


class OipInferRoute:
    """Infers. `max_at_once`: how many rows of one request may be in a model's queue together."""

    paths = _PATHS

    def __init__(
        self,
        catalog: Catalog,
        sequences: Sequences,
        transcoder: Transcoder,
        *,
        max_steps: int,
        max_at_once: int,
    ) -> None:
        self._catalog = catalog
        self._sequences = sequences
        self._codecs = OipCodecs(max_steps=max_steps)
        self._transcoder = transcoder
        self._cache = RequestCache()
        self._max_at_once = max_at_once

    def __repr__(self) -> str:
        return f"<OipInferRoute {self._catalog!r} {self._sequences!r}>"

    def begin(self, exchange: Exchange, reply: Reply) -> Abandonable:
        """Begin to answer; what is a step of a sequence by a look at it, goes without a task."""
        if _MARK in exchange.body:
            cached = self._cache.find(exchange)
            if cached is not None:
                return self._begin_step(exchange, cached.params, cached, reply)
            if len(json_of(exchange)) < COUNTED_BYTES:
                request = read_request(exchange)
                params = read_sequence(request.parameters, exchange.tenant, exchange.parts[3])
                if params is not None and not params.start:
                    self._catalog.get(exchange.parts[3], _version(exchange))
                    return self._begin_step(exchange, params, request, reply)
        return InTask(self._answer(exchange), reply)

    def _begin_step(
        self,
        exchange: Exchange,
        params: SequenceParameters,
        request: InferRequest | CachedRequest,
        reply: Reply,
    ) -> StepCall[Answer]:
        """Begin a step of a sequence that was started."""

        def tell(answer: Answer | Exception) -> None:
            reply(params.told(answer) if isinstance(answer, CarouselError) else answer)

        parse = partial(self._parse, exchange, params, request)
        call: StepCall[Answer]
        if len(exchange.body) < COUNTED_BYTES or len(text := json_of(exchange)) < COUNTED_BYTES:
            call = StepCall(self._transcoder, parse, tell)
        else:
            find = partial(self._sequences.model, params.key, ends=params.end)
            call = LongStepCall(self._transcoder, parse, tell, text, find, self._largest)
        begin = self._sequences.begin
        begin_step = partial(begin, ends=True) if params.end else begin
        call.begin(begin_step, params.key, exchange.deadline)
        return call

    def _largest(self, loaded: LoadedModel) -> LargestRequest:
        return self._codecs.of(loaded).largest

    def _parse(
        self,
        exchange: Exchange,
        params: SequenceParameters,
        request: InferRequest | CachedRequest,
        loaded: LoadedModel,
    ) -> SequenceStep:
        if isinstance(request, CachedRequest):
            kept = request.step(exchange, loaded)
            if kept is not None:
                return kept
            self._cache.forget(exchange)
            request = read_request(exchange)
        step = self._read(exchange, request, params, loaded)
        if not params.end:
            self._cache.keep(exchange, step)
        return step

    async def _answer(self, exchange: Exchange) -> Answer:
        loaded = self._catalog.get(exchange.parts[3], _version(exchange))
        request = await self._decode(exchange, loaded, lambda: read_request(exchange))
        params = read_sequence(request.parameters, exchange.tenant, exchange.parts[3])
        if params is None:
            return await self._infer(exchange, request, self._codecs.of(loaded))
        if params.start:
            try:
                return await self._start(exchange, request, params, loaded)
            except CarouselError as error:
                raise params.told(error) from None
        return await awaited(lambda reply: self._begin_step(exchange, params, request, reply))

    async def _decode(
        self, exchange: Exchange, loaded: LoadedModel, call: Callable[[], _Read]
    ) -> _Read:
        """What is read of the body or of its JSON, beside the loop where that takes a while."""
        return await self._transcoder.read(
            json_of(exchange), exchange.deadline, call, lambda: self._codecs.of(loaded).largest
        )

    async def _infer(self, exchange: Exchange, request: InferRequest, codec: OipCodec) -> Answer:
        choice = codec.choose(request)
        work = await self._decode(
            exchange, codec.loaded, lambda: codec.read(request, with_state=choice.with_state)
        )
        if None in work.rows:
            require_given(codec.loaded, (), "inputs")
        num_bytes = codec.answer_size.of(
            sum(each.num_steps for each in work.sequences),
            len(work.sequences),
            with_state=choice.with_state,
        )
        with self._transcoder.hold(num_bytes):
            rows = await run(codec.loaded, work, exchange.deadline, self._max_at_once)
            return await self._transcoder.write(
                num_bytes, lambda: respond(codec, request, choice, rows)
            )

    async def _start(
        self,
        exchange: Exchange,
        request: InferRequest,
        params: SequenceParameters,
        loaded: LoadedModel,
    ) -> Answer:
        codec = self._codecs.of(loaded)
        work = await self._decode(exchange, loaded, lambda: codec.read_start(request))
        choice = codec.choose(request)
        sequence_step = make_step(exchange, params, request, codec, choice, work.sequences[0])
        num_bytes = sequence_step.answer_bytes
        with self._transcoder.hold(num_bytes):
            started = await self._sequences.start(
                params.key, loaded, sequence_step.step, work.rows[0]
            )
            return await self._transcoder.write(
                num_bytes,
                lambda: sequence_step.answer(started.reply, restarted=started.restarted),
            )

    def _read(
        self,
        exchange: Exchange,
        request: InferRequest,
        params: SequenceParameters,
        loaded: LoadedModel,
    ) -> SequenceStep:
        version = _version(exchange)
        if version not in (None, loaded.version):
            raise ModelMismatch(
                f"version {version} given; the sequence runs on version {loaded.version}"
            )
        codec = self._codecs.of(loaded)
        choice = codec.choose(request)
        return make_step(exchange, params, request, codec, choice, codec.read_step(request))


def _version(exchange: Exchange) -> int | None:
    """The version that the path names."""
    parts = exchange.parts
    return read_version(parts[5]) if len(parts) > 6 else None
