"""`POST /v1/steps`: steps of many sessions in one request, one by one or as columns."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from carousel.service.api.encoding.codec import Codecs
from carousel.service.api.encoding.document import (
    check_members,
    may_hold_bools,
    parse,
    take_list,
    take_position,
)
from carousel.service.api.encoding.explain import kind_of
from carousel.service.api.http.answer import Answer, Reply
from carousel.service.api.http.exchange import Abandonable, Exchange
from carousel.service.api.http.in_task import InTask
from carousel.service.api.http.problem import problem_members
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.api.openapi import examples
from carousel.service.api.openapi.nodes import TIMEOUT, either, encodings
from carousel.service.api.openapi.operation import post
from carousel.service.api.openapi.refusals import ARRAYS, refusals
from carousel.service.api.v1.bulk_steps import BulkEntry, Chain, run_all
from carousel.service.api.v1.columnar.columnar_request import ColumnarRequest
from carousel.service.api.v1.columnar.columnar_steps import ColumnarSteps
from carousel.service.api.v1.data_bodies import (
    BulkBody,
    BulkResults,
    BulkStep,
    ColumnarBody,
    ColumnarResult,
)
from carousel.service.api.v1.media.choose import (
    JSON,
    SAFETENSORS,
    media_of,
    require_json,
)
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import (
    CarouselError,
    InvalidRequest,
    ModelNotFound,
    NotStreamable,
    SequenceTooLong,
    UnsupportedMediaType,
)
from carousel.service.sessions.deadline import within
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.step import Done, Step
from carousel.service.sessions.step_run import StepRun

_PATH = "/v1/steps"
# Sessions that are looked up together.
_AT_ONCE = 256
# What one step takes while it is worked on, an error in its place too, about.
_ENTRY_BYTES = 2048
# The least that it says in the answer.
_RESULT_BYTES = 64

_FIELDS = frozenset(BulkBody.model_fields)
_ENTRY_FIELDS = frozenset(BulkStep.model_fields)

_PATHS = post(
    {_PATH: "step_many"},
    tag="steps",
    summary="Feed many sessions in one request",
    description="Each step succeeds or fails by itself; the status is 200 once the request "
    "could be read. `steps` are of any models; after one that is refused, later ones of its "
    "session are refused too unless they name their position. As columns, in JSON or safetensors, "
    "a request steps sessions of one model, each once: a tensor of inputs for all of them. In "
    "safetensors all that is no tensor stands in the metadata, as JSON but for the model's name.",
    parameters=[TIMEOUT],
    body=encodings(either(BulkBody, ColumnarBody), examples.BULK, SAFETENSORS.name),
    answer={
        "description": "One result a step, in order, or columns",
        "content": encodings(either(BulkResults, ColumnarResult), None, SAFETENSORS.name),
    },
    refusals=refusals(*ARRAYS, SequenceTooLong, ModelNotFound, NotStreamable),
)


class BulkRoute:
    """Feeds many sessions, each of them in the order of the request."""

    paths = _PATHS

    def __init__(
        self, sessions: Sessions, codecs: Codecs, transcoder: Transcoder, columnar: ColumnarSteps
    ) -> None:
        self._sessions = sessions
        self._codecs = codecs
        self._transcoder = transcoder
        self._columnar = columnar

    def __repr__(self) -> str:
        return f"<BulkRoute {self._sessions!r}>"

    def begin(self, exchange: Exchange, reply: Reply) -> Abandonable:
        """Answer every step by itself; the request as a whole fails only if it cannot be read."""
        return InTask(self._answer(exchange), reply)

    async def _answer(self, exchange: Exchange) -> Answer:
        deadline = exchange.deadline
        media = media_of(exchange.content_type)
        if media is SAFETENSORS:
            return await self._columnar.answer_tensors(exchange)
        if media is not JSON:
            raise UnsupportedMediaType(
                f"Content-Type: {media.name} given; expected {JSON.name} or {SAFETENSORS.name}"
            )
        asked = await self._transcoder.read(
            exchange.body, deadline, lambda: self._read(exchange), self._columnar.largest
        )
        if isinstance(asked, ColumnarRequest):
            return await self._columnar.answer(exchange, asked, JSON)
        with self._transcoder.hold(len(asked) * _ENTRY_BYTES):
            return await self._run(exchange, asked, deadline)

    def _read(self, exchange: Exchange) -> list[BulkEntry] | ColumnarRequest:
        max_steps = self._codecs.max_steps
        # Each step has one, and takes one time step at least.
        _check_count(exchange.body.count(b'"session_id"'), max_steps)
        document = parse(exchange.body)
        if "session_ids" in document and "steps" not in document:
            return self._columnar.read_document(exchange, document)
        return read_steps(exchange, document, max_steps)

    async def _run(
        self, exchange: Exchange, entries: Sequence[BulkEntry], deadline: float
    ) -> Answer:
        text = exchange.body
        tenant = exchange.tenant
        for entry in entries:
            entry.session = self._sessions.peek(tenant, entry.session_id)
        cold = [entry for entry in entries if entry.session is None]
        for start in range(0, len(cold), _AT_ONCE):
            part = cold[start : start + _AT_ONCE]
            await asyncio.gather(*(self._find(each, tenant, deadline) for each in part))
        bools = may_hold_bools(exchange.body)
        await self._transcoder.read(
            text,
            deadline,
            lambda: self._read_steps(entries, deadline, bools=bools),
            self._columnar.largest,
        )
        self._check_steps(entries)

        def begin(entry: BulkEntry, done: Done) -> StepRun:
            def read(loaded: LoadedModel) -> Step:
                return entry.read(self._codecs.of(loaded), deadline, bools=bools)

            return self._sessions.begin((tenant, entry.session_id), read, deadline, done)

        chains: dict[str, list[BulkEntry]] = {}
        for entry in entries:
            chains.setdefault(entry.session_id, []).append(entry)
        num_bytes = sum(
            each.codec.answer_size.of_step(each.step)
            for each in entries
            if each.codec is not None and isinstance(each.step, Step)
        )
        with self._transcoder.hold(num_bytes):
            await run_all([Chain(chain, begin) for chain in chains.values()])
            # Of many entries also where each says little.
            size = max(num_bytes, len(entries) * _RESULT_BYTES)
            body = await self._transcoder.write(size, lambda: self._results(entries))
        return Answer(200, body, [JSON.header])

    async def _find(self, entry: BulkEntry, tenant: str, deadline: float) -> None:
        try:
            finding = self._sessions.find(tenant, entry.session_id)
            entry.session = await within(deadline, finding, "its session")
        except CarouselError as error:
            entry.refuse(error)

    def _read_steps(self, entries: Sequence[BulkEntry], deadline: float, *, bools: bool) -> None:
        """Read all before any runs. One that cannot be read is refused on its session's turn,
        unless the session has another model by then.
        """
        for entry in entries:
            if entry.session is not None:
                entry.parse(self._codecs.of(entry.session.loaded), deadline, bools=bools)

    def _check_steps(self, entries: Sequence[BulkEntry]) -> None:
        total = sum(each.step.num_steps for each in entries if isinstance(each.step, Step))
        if total > self._codecs.max_steps:
            raise SequenceTooLong(
                f"steps: {total} time steps given; a request may have {self._codecs.max_steps}"
            )

    def _results(self, entries: Sequence[BulkEntry]) -> bytes:
        return b'{"results":[%b]}' % b",".join(map(self._result, entries))

    def _result(self, entry: BulkEntry) -> bytes:
        session_id = orjson.dumps(entry.session_id)
        if entry.error is not None:
            error = orjson.dumps(problem_members(entry.error, is_step=True))
            return b'{"session_id":%b,"error":%b}' % (session_id, error)
        assert entry.codec is not None
        assert entry.reply is not None
        outputs = entry.codec.outputs.json(entry.reply.outputs)
        replayed = b',"replayed":true' if entry.reply.replayed else b""
        return b'{"session_id":%b,"outputs":%b,"position":%d%b}' % (
            session_id, outputs, entry.reply.position, replayed
        )  # fmt: skip


def read_steps(exchange: Exchange, document: dict[str, Any], max_steps: int) -> list[BulkEntry]:
    """The steps that a JSON object is, one by one."""
    require_json(exchange.accept)
    check_members(document, _FIELDS)
    exchange.flags()
    steps = take_list(document, "steps")
    _check_count(len(steps), max_steps)
    return [_entry(each, f"steps[{index}]") for index, each in enumerate(steps)]


def _check_count(count: int, max_steps: int) -> None:
    if count > max_steps:
        raise SequenceTooLong(f"steps: {count} given; a request may have {max_steps} time steps")


def _entry(value: Any, where: str) -> BulkEntry:
    if type(value) is not dict:
        raise InvalidRequest(f"{where}: {kind_of(value)} given; expected an object")
    check_members(value, _ENTRY_FIELDS, f"{where}.")
    session_id = value.get("session_id")
    if type(session_id) is not str:
        given = kind_of(session_id) if "session_id" in value else "nothing"
        raise InvalidRequest(f"{where}.session_id: {given} given; expected a session's id")
    if "inputs" not in value:
        raise InvalidRequest(f"{where}.inputs: nothing given; expected time steps")
    return BulkEntry(session_id, value["inputs"], take_position(value, f"{where}."), where)
