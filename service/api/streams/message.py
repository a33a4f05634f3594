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
from carousel.service.sessions.step import Step

_SYNC_FIELDS = frozenset({"position"})


@dataclass(slots=True)
class Frame:
    """One message as it came: JSON text, or the raw bytes of the one input."""

    data: bytes
    is_text: bool
    arrived: float


class NoStep(Exception):
    """What a frame is that is no step: nothing is to be run for it."""


class Sync(NoStep):
    """`{"position": p}`: what the client says its next frame starts from."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class Unnamed(NoStep):
    """A frame that names no position, where it must after a refusal."""


class FrameWork:
    """The step that a frame is, and how it is answered: in the frame's own encoding."""

    __slots__ = ("_codec", "_is_text", "answer_bytes", "step")

    def __init__(self, codec: Codec, step: Step, *, is_text: bool) -> None:
        self.step = step
        self.answer_bytes = codec.answer_size.of_step(step)
        self._codec = codec
        self._is_text = is_text

    def answer(self, reply: StepReply) -> tuple[int | None, bytes]:
        """Where the session stands, if the step moved it, and the message."""
        reached = reply.position if self.step.commit else None
        return reached, write_reply(self._codec, reply, is_text=self._is_text)


def read_frame(frame: Frame, codec: Codec, deadline: float, *, must_name: bool = False) -> Step:
    """The step that a frame asks for.

    Raises Sync or Unnamed where it asks for none, InvalidRequest and its subclasses, Malformed, and
    NotAcceptable where the answer would not fit a binary frame.
    """
    if not frame.is_text:
        if must_name:
            raise Unnamed
        codec.outputs.require_single()
        sequence = codec.inputs.read_bytes(frame.data)
        return Step(sequence.inputs, sequence.num_steps, deadline)
    try:
        document = parse(frame.data)
    except NotText:
        raise
    except CarouselError:
        if must_name:
            raise Unnamed from None
        raise
    if must_name and document.get("position") is None:
        raise Unnamed
    if "inputs" not in document and "position" in document:
        check_members(document, _SYNC_FIELDS)
        position = take_position(document)
        if position is None:
            raise InvalidRequest("position: null given; expected an integer of 0 or more")
        raise Sync(position)
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


def write_reply(codec: Codec, reply: StepReply, *, is_text: bool) -> bytes:
    """What a step is answered, as JSON or as the raw bytes of the one output."""
    if is_text:
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
