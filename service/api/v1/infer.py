"""`POST /v1/models/{model}/infer`: whole sequences, nothing kept."""

from carousel.service.api.encoding.codec import Codecs
from carousel.service.api.http.answer import Answer, Reply
from carousel.service.api.http.exchange import Abandonable, Exchange, read_version
from carousel.service.api.http.in_task import InTask
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import RAW_INPUT, TIMEOUT, encodings, flag
from carousel.service.api.openapi.operation import post
from carousel.service.api.openapi.refusals import ARRAYS, RUN, refusals
from carousel.service.api.v1.data_bodies import InferBody, InferResult
from carousel.service.api.v1.media.choose import (
    JSON,
    RAW,
    SAFETENSORS,
    media_for_outputs,
    media_of,
    text_of,
)
from carousel.service.api.v1.work import Work, run
from carousel.service.engine.catalog import Catalog
from carousel.service.errors import ModelNotFound, NotAcceptable, SequenceTooLong

_PATHS = post(
    {
        "/v1/models/{model}/infer": "infer",
        "/v1/models/{model}/versions/{version}/infer": "infer_version",
    },
    tag="inference",
    summary="Run whole sequences, keeping nothing",
    description="Sequences of different lengths share a batch. " + RAW_INPUT,
    parameters=[
        flag("return_state", "Answer the final state too. In JSON also a member of the body."),
        TIMEOUT,
    ],
    body=encodings(InferBody, examples.INFER, RAW.name, SAFETENSORS.name),
    answer={
        "description": "The outputs, in order",
        "content": encodings(InferResult, None, RAW.name, SAFETENSORS.name),
    },
    refusals=refusals(*ARRAYS, *RUN, ModelNotFound),
)


class InferRoute:
    """Runs whole sequences, each from its own state.

    `max_at_once`: how many of one request may be in a model's queue together; a request with more
    would never fit a queue, or leave no room in it for anybody else.
    """

    paths = _PATHS

    def __init__(
        self, catalog: Catalog, codecs: Codecs, transcoder: Transcoder, *, max_at_once: int
    ) -> None:
        self._catalog = catalog
        self._codecs = codecs
        self._transcoder = transcoder
        self._max_at_once = max_at_once

    def __repr__(self) -> str:
        return f"<InferRoute {self._catalog!r}>"

    def begin(self, exchange: Exchange, reply: Reply) -> Abandonable:
        """Answer all sequences, or none."""
        return InTask(self._answer(exchange), reply)

    async def _answer(self, exchange: Exchange) -> Answer:
        parts = exchange.parts
        loaded = self._catalog.get(parts[3], read_version(parts[5]) if len(parts) > 5 else None)
        codec = self._codecs.of(loaded)
        given = media_of(exchange.content_type)
        work = await self._transcoder.read(
            text_of(exchange),
            exchange.deadline,
            lambda: given.read_work(exchange, codec, loaded),
            lambda: codec.largest,
        )
        num_steps = self._check_steps(work)
        media = media_for_outputs(exchange.accept, given, codec.outputs, with_state=work.with_state)
        if len(work.sequences) > 1 and not media.holds_many:
            raise NotAcceptable(
                f"{media.name} holds one sequence; {len(work.sequences)} given",
                hint=f"send Accept: {JSON.name}",
            )
        num_bytes = codec.answer_size.of(num_steps, len(work.sequences), with_state=work.with_state)
        with self._transcoder.hold(num_bytes):
            results = await run(loaded, work, exchange.deadline, self._max_at_once)
            return await self._transcoder.write(
                num_bytes, lambda: media.write_results(codec, loaded, results)
            )

    def _check_steps(self, work: Work) -> int:
        total = sum(sequence.num_steps for sequence in work.sequences)
        if total > self._codecs.max_steps:
            raise SequenceTooLong(
                f"sequences: {total} time steps given; a request may have {self._codecs.max_steps}"
            )
        return total
