"""The messages of a stream: frames that clients send, and what they are answered."""

from dataclasses import dataclass

import orjson

from carousel.service.api.encoding.codec import Codec
from carousel.service.api.encoding.document import (
    check_members,
    may_hold_bools,
    parse,
    take_position,
)
from carousel.service.api.http.problem import problem_members
from carousel.service.api.v1.media.json import read_step, write_step
from carousel.service.errors import CarouselError, InvalidRequest, NotText
from carousel.service.sessions.results import SessionInfo, StepReply
from carousel.service.sessions.step_runner import Step

_SYNC_FIELDS = frozenset({"position"})


@dataclass(slots=True)
class Frame:
    """One message as it came: JSON text, or the raw bytes of the one input."""

    data: bytes
    is_text: bool
    arrived: float


@dataclass(frozen=True, slots=True)
class Sync:
    """`{"position": p}`: what the client says its next frame starts from."""

    position: int


def read_frame(
    frame: Frame, codec: Codec, deadline: float, *, must_name: bool = False
) -> Step | Sync | None:
    """The step that a frame asks for; None where it names no position and `must_name` one, as one
    must after a refusal.

    Raises InvalidRequest and its subclasses, Malformed, and NotAcceptable where the answer would
    not fit a binary frame.
    """
    if not frame.is_text:
        if must_name:
            return None
        codec.outputs.require_single()
        sequence = codec.inputs.read_bytes(frame.data)
        return Step(sequence.inputs, sequence.num_steps, deadline)
    try:
        document = parse(frame.data)
    except NotText:
        raise
    except CarouselError:
        if must_name:
            return None
        raise
    if must_name and document.get("position") is None:
        return None
    if "inputs" not in document and "position" in document:
        check_members(document, _SYNC_FIELDS)
        position = take_position(document)
        if position is None:
            raise InvalidRequest("position: null given; expected an integer of 0 or more")
        return Sync(position)
    return read_step(document, codec, deadline, bools=may_hold_bools(frame.data))


def greeting(info: SessionInfo) -> bytes:
    """The server's first message."""
    return orjson.dumps(
        {
            "session_id": info.session_id,
            "model": info.model,
            "version": info.version,
            "position": info.position,
        }
    )


def write_reply(frame: Frame, codec: Codec, reply: StepReply) -> bytes:
    """What a frame is answered, in its own encoding."""
    if frame.is_text:
        return write_step(
            codec, reply.outputs, reply.position, reply.state, replayed=reply.replayed
        )
    return codec.outputs.raw(reply.outputs)


def write_sync(position: int) -> bytes:
    """The answer to a frame that only names a position."""
    return b'{"position":%d}' % position


def write_error(error: CarouselError, position: int | None) -> bytes:
    """A refusal; `position` is where the session stands, as far as this stream knows."""
    members = problem_members(error, is_step=True)
    if position is not None:
        members.setdefault("position", position)
    return orjson.dumps({"error": members})
