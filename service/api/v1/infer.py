"""`POST /v1/models/{model}/infer`: whole sequences, nothing kept."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from carousel.service.api.encoding.arrays import arrays_json
from carousel.service.api.encoding.codec import Codec, Codecs
from carousel.service.api.encoding.document import (
    check_members,
    may_hold_bools,
    parse,
    take_flag,
    take_list,
)
from carousel.service.api.encoding.explain import kind_of
from carousel.service.api.encoding.inputs import InputSequence
from carousel.service.api.encoding.media import Media
from carousel.service.api.encoding.states import PREFIX
from carousel.service.api.encoding.tensorfile import parse_tensors
from carousel.service.api.http.answer import Answer, answer
from carousel.service.api.http.exchange import Exchange, read_version
from carousel.service.api.v1.data_bodies import InferBody
from carousel.service.engine.catalog import Catalog
from carousel.service.engine.engine import Result
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.start_state import require_given, start_row
from carousel.service.errors import InvalidRequest, NotAcceptable, SequenceTooLong

INFER_PATH = "/v1/models/{model}/infer"
INFER_VERSION_PATH = "/v1/models/{model}/versions/{version}/infer"

_FIELDS = frozenset(InferBody.model_fields)


@dataclass(slots=True)
class Work:
    """What a request asks: sequences, the row of states that each starts from (None: the model's
    initial values), and whether to show its end.
    """

    sequences: list[InputSequence]
    rows: list[bytes | None]
    with_state: bool


class InferRoute:
    """Runs whole sequences, each from its own state.

    `max_at_once`: how many of one request may be in a model's queue together; a request with more
    would never fit a queue, or leave no room in it for anybody else.
    """

    def __init__(self, catalog: Catalog, codecs: Codecs, *, max_at_once: int) -> None:
        self._catalog = catalog
        self._codecs = codecs
        self._max_at_once = max_at_once

    def __repr__(self) -> str:
        return f"<InferRoute {self._catalog!r}>"

    async def __call__(self, exchange: Exchange) -> Answer:
        """Answer all sequences, or none."""
        parts = exchange.parts
        loaded = self._catalog.get(parts[3], read_version(parts[5]) if len(parts) > 5 else None)
        codec = self._codecs.of(loaded)
        given = exchange.media
        if given is Media.JSON:
            work = _read_json(exchange, loaded, codec)
            self._check_steps(work)
        else:
            work = _read(exchange, loaded, codec, given)
        media = codec.outputs.media(exchange.accept, given, with_state=work.with_state)
        if media is not Media.JSON and len(work.sequences) > 1:
            raise NotAcceptable(
                f"{media.value} holds one sequence; {len(work.sequences)} given",
                hint=f"send Accept: {Media.JSON.value}",
            )
        results = await run(loaded, work, exchange.deadline(), self._max_at_once)
        return _write(loaded, codec, results, media)

    def _check_steps(self, work: Work) -> None:
        total = sum(sequence.num_steps for sequence in work.sequences)
        if total > self._codecs.max_steps:
            raise SequenceTooLong(
                f"sequences: {total} time steps given; a request may have {self._codecs.max_steps}"
            )


def _read_json(exchange: Exchange, loaded: LoadedModel, codec: Codec) -> Work:
    body = exchange.body
    bools = may_hold_bools(body)
    document = parse(body)
    exchange.add_flags(document, return_state=False)
    check_members(document, _FIELDS)
    sequences = [
        codec.inputs.read_json(value, f"sequences[{index}]", bools=bools)
        for index, value in enumerate(take_list(document, "sequences"))
    ]
    rows = _rows(document.get("states"), len(sequences), loaded, codec, bools=bools)
    return Work(sequences, rows, take_flag(document, "return_state", False))


def _rows(
    value: Any, count: int, loaded: LoadedModel, codec: Codec, *, bools: bool
) -> list[bytes | None]:
    """The rows of the member `states`; None is where the model's initial values are meant."""
    if value is None:
        require_given(loaded, (), "states")
        return [None] * count
    if type(value) is not list or len(value) != count:
        raise InvalidRequest(
            f"states: {kind_of(value)} given; expected a list of {count}, a state or null for each "
            "sequence"
        )
    rows: list[bytes | None] = [None] * count
    for index, each in enumerate(value):
        where = f"states[{index}]"
        if each is None:
            require_given(loaded, (), where)
        else:
            state = codec.states.read_json(each, where, bools=bools, whole=False)
            rows[index] = start_row(loaded, state, where)
    return rows


def _read(exchange: Exchange, loaded: LoadedModel, codec: Codec, given: Media) -> Work:
    with_state = exchange.flags(return_state=False)["return_state"]
    if given.is_single:
        require_given(loaded, (), "states")
        if given is Media.RAW:
            sequence = codec.inputs.read_bytes(exchange.body, exchange.declared)
        else:
            sequence = codec.inputs.read_npy(exchange.body)
        return Work([sequence], [None], with_state)
    entries = parse_tensors(exchange.body)
    states = {name: entries.pop(name) for name in list(entries) if name.startswith(PREFIX)}
    row: bytes | None = None
    if states:
        row = start_row(loaded, codec.states.read_tensors(states, whole=False), "states")
    else:
        require_given(loaded, (), "states")
    return Work([codec.inputs.read_tensors(entries)], [row], with_state)


async def run(
    loaded: LoadedModel, work: Work, deadline: float, max_at_once: int
) -> Sequence[Result]:
    """The results of all sequences, `max_at_once` of them in the model's queue together."""

    def infer(index: int) -> Coroutine[Any, Any, Result]:
        sequence = work.sequences[index]
        return loaded.engine.infer(
            sequence.inputs,
            sequence.num_steps,
            deadline=deadline,
            state=work.rows[index],
            wants_state=work.with_state,
        )

    count = len(work.sequences)
    if count == 1:
        return [await infer(0)]
    results: list[Result] = []
    for start in range(0, count, max_at_once):
        part = range(start, min(start + max_at_once, count))
        tasks = [asyncio.ensure_future(infer(index)) for index in part]
        try:
            results += await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            raise
    return results


def _write(loaded: LoadedModel, codec: Codec, results: Sequence[Result], media: Media) -> Answer:
    states = [loaded.layout.unpack(each.state) for each in results if each.state is not None]
    if media is Media.RAW:
        return answer(media, codec.outputs.raw(results[0].outputs))
    if media is Media.NPY:
        return answer(media, codec.outputs.npy(results[0].outputs))
    if media is Media.SAFETENSORS:
        state = states[0] if states else None
        return answer(media, codec.outputs.tensors(results[0].outputs, state))
    outputs = b",".join([codec.outputs.json(each.outputs) for each in results])
    tail = b',"states":[%b]' % b",".join(map(arrays_json, states)) if states else b""
    return answer(
        media,
        b'{"model":%b,"version":%d,"outputs":[%b]%b}'
        % (orjson.dumps(loaded.name), loaded.version, outputs, tail),
    )
