"""Triton's sequence extension: the parameters that make a request a step of a sequence."""

from dataclasses import dataclass
from typing import Any

import orjson

from carousel.service.api.encoding.document import take_flag, take_position
from carousel.service.api.encoding.explain import kind_of
from carousel.service.errors import CarouselError, InvalidRequest, SessionExpired, SessionNotFound
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.sequences import SequenceId, sequence_key
from carousel.service.sessions.session_record import Key

_MAX_INTEGER = 2**64 - 1
_MAX_CHARACTERS = 128
_WHERE = "parameters."


@dataclass(slots=True)
class SequenceParameters:
    """Which sequence a step is of, and what it is to it. `key` is its session's."""

    id: SequenceId
    key: Key
    start: bool
    end: bool
    position: int | None

    def shown(self, reply: StepReply, *, restarted: bool) -> bytes:
        """The parameters of the response, as JSON."""
        return b'{"sequence_id":%b,"session_id":"%b","position":%d,"replayed":%b%b}' % (
            orjson.dumps(self.id),
            self.key[1].encode(),
            reply.position,
            b"true" if reply.replayed else b"false",
            b',"restarted":true' if restarted else b"",
        )

    def told(self, error: CarouselError) -> CarouselError:
        """An error of the session in the words of the one who knows a sequence."""
        hint = "the first request of a sequence says sequence_start"
        if isinstance(error, SessionExpired):
            return SessionExpired(f"sequence {self.id!r} was idle for too long", hint=hint)
        if isinstance(error, SessionNotFound):
            return SessionNotFound(f"there is no sequence {self.id!r} of this model", hint=hint)
        return error


def read_sequence(parameters: dict[str, Any], tenant: str, model: str) -> SequenceParameters | None:
    """The sequence that a request's parameters name, None if they name none: an id of 0 or "".

    Raises InvalidRequest.
    """
    sequence_id = parameters.get("sequence_id", 0)
    start = take_flag(parameters, "sequence_start", False, _WHERE)
    end = take_flag(parameters, "sequence_end", False, _WHERE)
    position = take_position(parameters, _WHERE)
    _check_id(sequence_id)
    if not sequence_id:
        if start or end or position is not None:
            raise InvalidRequest(
                f"{_WHERE}sequence_id: nothing given, or 0; expected the sequence that "
                "sequence_start, sequence_end and position are about"
            )
        return None
    if start and position:
        raise InvalidRequest(
            f"{_WHERE}position: {position} given with sequence_start, which begins at 0"
        )
    return SequenceParameters(
        sequence_id, sequence_key(tenant, model, sequence_id), start, end, position
    )


def _check_id(value: Any) -> None:
    if type(value) is int:
        if not 0 <= value <= _MAX_INTEGER:
            raise InvalidRequest(
                f"{_WHERE}sequence_id: {value} given; expected an integer from 0 to {_MAX_INTEGER}"
            )
    elif type(value) is str:
        if len(value) > _MAX_CHARACTERS:
            raise InvalidRequest(
                f"{_WHERE}sequence_id: {len(value)} characters given; expected {_MAX_CHARACTERS} "
                "at most"
            )
    else:
        raise InvalidRequest(
            f"{_WHERE}sequence_id: {kind_of(value)} given; expected an integer or a string"
        )
