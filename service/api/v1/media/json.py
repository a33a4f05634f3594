"""`application/json`: arrays as lists; flags and position are members of the same object."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from carousel.models.row import Array
from carousel.service.api.encoding.arrays import arrays_json
from carousel.service.api.encoding.codec import Codec
from carousel.service.api.encoding.document import (
    check_members,
    may_hold_bools,
    parse,
    take_flag,
    take_list,
    take_position,
)
from carousel.service.api.encoding.explain import kind_of
from carousel.service.api.http.answer import Answer
from carousel.service.api.http.exchange import Exchange
from carousel.service.api.v1.control_bodies import WriteState, read_body
from carousel.service.api.v1.data_bodies import InferBody, StepBody
from carousel.service.api.v1.media.media import Media
from carousel.service.api.v1.work import RowResult, Work
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.start_state import require_given, start_row
from carousel.service.errors import InvalidRequest
from carousel.service.sessions.results import StateRead, StepReply
from carousel.service.sessions.step import Step

_STEP_FIELDS = frozenset(StepBody.model_fields)
_INFER_FIELDS = frozenset(InferBody.model_fields)


class Json(Media):
    """The one that says everything, and is taken where nothing is said."""

    name = "application/json"
    holds_many = True

    def read_step(self, exchange: Exchange, codec: Codec) -> Step:
        body = exchange.body
        document = parse(body)
        if exchange.query:
            exchange.add_flags(document, return_state=False, commit=True)
        step = read_step(document, codec, exchange.deadline, bools=may_hold_bools(body))
        position = exchange.position()
        if position is not None:
            if step.position not in (None, position):
                raise InvalidRequest(
                    f"Carousel-Position: {position} given, and position {step.position} in the body"
                )
            step.position = position
        return step

    def write_step(self, codec: Codec, reply: StepReply) -> Answer:
        body = write_step(codec, reply.outputs, reply.position, reply.state)
        return Answer(200, body, [self.header])

    def read_work(self, exchange: Exchange, codec: Codec, loaded: LoadedModel) -> Work:
        body = exchange.body
        bools = may_hold_bools(body)
        document = parse(body)
        exchange.add_flags(document, return_state=False)
        check_members(document, _INFER_FIELDS)
        given = take_list(document, "sequences")
        codec.inputs.check_rows(len(given), "sequences")
        sequences = [
            codec.inputs.read_json(value, f"sequences[{index}]", bools=bools)
            for index, value in enumerate(given)
        ]
        rows = _rows(document.get("states"), len(sequences), loaded, codec, bools=bools)
        return Work(sequences, rows, take_flag(document, "return_state", False))

    def write_results(
        self, codec: Codec, loaded: LoadedModel, results: Sequence[RowResult]
    ) -> Answer:
        outputs = b",".join([codec.outputs.json(each.outputs) for each in results])
        states = [arrays_json(each.state) for each in results if each.state is not None]
        tail = b',"states":[%b]' % b",".join(states) if states else b""
        head = b'{"model":%b,"version":%d,' % (orjson.dumps(loaded.name), loaded.version)
        return Answer(200, b'%b"outputs":[%b]%b}' % (head, outputs, tail), [self.header])

    def read_state(self, body: bytes, headers: Mapping[str, str], codec: Codec) -> WriteState:
        asked = read_body(WriteState, body)
        asked.state = codec.states.read_json(asked.state, "state", bools=may_hold_bools(body))
        return asked

    def write_state(self, read: StateRead) -> bytes:
        return b'{"position":%d,"state":%b}' % (read.position, arrays_json(read.state))


def read_step(document: dict[str, Any], codec: Codec, deadline: float, *, bools: bool) -> Step:
    """The step that a JSON object is; raises InvalidRequest and its subclasses."""
    if "inputs" not in document:
        raise InvalidRequest("inputs: nothing given; expected the session's next time steps")
    sequence = codec.inputs.read_json(document["inputs"], "inputs", bools=bools)
    step = Step(sequence.inputs, sequence.num_steps, deadline)
    if len(document) > 1:
        check_members(document, _STEP_FIELDS)
        step.position = take_position(document)
        step.return_state = take_flag(document, "return_state", False)
        step.commit = take_flag(document, "commit", True)
    return step


def write_step(
    codec: Codec,
    outputs: Mapping[str, Array],
    position: int,
    state: Mapping[str, Array] | None = None,
    *,
    replayed: bool = False,
) -> bytes:
    """What a step gave, as a JSON object."""
    tail = b"" if state is None else b',"state":%b' % arrays_json(state)
    if replayed:
        tail += b',"replayed":true'
    return b'{"outputs":%b,"position":%d%b}' % (codec.outputs.json(outputs), position, tail)


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
