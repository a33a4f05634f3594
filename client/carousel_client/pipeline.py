"""The frames of a stream that are on their way, and what comes back for them. Pure.

Frames are sent without waiting, and each starts where the one before ends. After a break all that
were not answered are sent again, the first with the position it starts from: what the server did
not run it runs, what it ran it answers from its record. It finds a frame there by position and by
inputs, so another client's step is never taken for ours, as it could be if the recorded replies
that a resumed stream offers were only counted.
"""

import json
from collections import deque
from dataclasses import dataclass
from typing import Any

from carousel_client.codec import Codec, Inputs, Outputs
from carousel_client.document import expecting
from carousel_client.errors import BadAnswer, CarouselError, ReplyNotKept
from carousel_client.problem import make_error

# What the server promises to keep: eight replies, while they are small enough together.
MAX_AHEAD = 8
_MAX_KEPT_BYTES = 4096

Message = str | bytes


@dataclass(slots=True)
class Reply:
    """The outputs for the oldest frame."""

    outputs: Outputs


@dataclass(slots=True)
class _Frame:
    message: Message
    num_steps: int
    reply_bytes: int


class Pipeline:
    """`position`: where the session stands after the last reply that was taken; to be set before
    the first frame is offered. `ahead`: how many frames may be unanswered.
    """

    def __init__(self, codec: Codec, ahead: int) -> None:
        if not 1 <= ahead <= MAX_AHEAD:
            raise ValueError(f"ahead: {ahead} given; expected 1 to {MAX_AHEAD}")
        self.position = 0
        self._codec = codec
        self._ahead = ahead
        self._held: _Frame | None = None
        self._unanswered: deque[_Frame] = deque()

    def __repr__(self) -> str:
        return f"<Pipeline at {self.position} unanswered={len(self._unanswered)}>"

    @property
    def num_unanswered(self) -> int:
        """Frames that were sent and have no reply yet."""
        return len(self._unanswered)

    @property
    def is_empty(self) -> bool:
        """Whether everything that was offered is answered."""
        return not self._unanswered and self._held is None

    @property
    def wants_inputs(self) -> bool:
        """Whether another frame may be offered now."""
        return self._held is None and len(self._unanswered) < self._ahead

    def offer(self, inputs: Inputs) -> None:
        """Take the next frame; raises InvalidRequest and its subclasses if it does not fit."""
        assert self.wants_inputs
        codec = self._codec
        arrays = codec.cast(inputs)
        num_steps = codec.num_steps(arrays)
        if codec.is_raw:
            message: Message = next(iter(arrays.values())).tobytes()
        else:
            message = json.dumps({"inputs": codec.to_json(arrays)}, separators=(",", ":"))
        self._held = _Frame(message, num_steps, codec.reply_bytes(num_steps))

    def next_message(self) -> Message | None:
        """What to send now; None while the frame has to wait for replies."""
        frame = self._held
        if frame is None:
            return None
        kept = frame.reply_bytes + sum(each.reply_bytes for each in self._unanswered)
        if self._unanswered and kept > _MAX_KEPT_BYTES:
            return None
        self._held = None
        self._unanswered.append(frame)
        return frame.message

    def begin(self, greeting: Message) -> list[Message]:
        """What to send first on a new connection, whose first message is the `greeting`; raises the
        error that it may be.
        """
        document = _read(greeting)
        if "error" in document:
            raise _error_of(document)
        place = json.dumps({"position": self.position})
        return [place, *(each.message for each in self._unanswered)]

    def take(self, message: Message) -> Reply | None:
        """Read a message; None is one with nothing to act on. Raises the server's error: what is
        behind the frame that was refused is refused as well, until a connection begins anew.
        """
        if isinstance(message, bytes):
            return self._answered(self._codec.decode_raw(message), None)
        document = _read(message)
        if "outputs" in document:
            outputs = self._codec.from_json(document["outputs"])
            return self._answered(outputs, document.get("position"))
        if "error" in document:
            raise self._refused(_error_of(document))
        return None

    def _answered(self, outputs: Outputs, position: int | None) -> Reply:
        if not self._unanswered:
            raise BadAnswer("a reply came that no frame was sent for")
        self.position += self._unanswered.popleft().num_steps
        if position is not None and position != self.position:
            raise BadAnswer(f"a reply for position {position} came; expected {self.position}")
        return Reply(outputs)

    def _refused(self, error: CarouselError) -> CarouselError:
        if isinstance(error, ReplyNotKept) and self._unanswered:
            # The frame was done: what the caller sends next starts behind it.
            self.position += self._unanswered.popleft().num_steps
        return error


@expecting("an error")
def _error_of(document: dict[str, Any]) -> CarouselError:
    return make_error(document["error"])


def _read(message: Message) -> dict[str, Any]:
    try:
        document = json.loads(message)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise BadAnswer("a message came that is no JSON object")
    return document
