"""The frames of a client's stream that are on their way, without a socket."""

import json
from typing import Any

import numpy as np
import pytest

from carousel_client.codec import Codec
from carousel_client.errors import BadAnswer, PositionConflict, QueueFull, ReplyNotKept
from carousel_client.model import read_model
from carousel_client.pipeline import Pipeline
from tests.client.described import NUM_OUTPUTS, F, describe


def make(ahead: int = 8, position: int = 0, **more: Any) -> Pipeline:
    """A pipeline before its first frame."""
    pipeline = Pipeline(Codec(read_model(describe(**more))), ahead)
    pipeline.position = position
    return pipeline


def frame(num_steps: int = 1, value: float = 1.0) -> Any:
    """An input (T, F)."""
    return np.full((num_steps, F), value, np.float32)


def reply(num_steps: int = 1) -> bytes:
    """Its answer (T, O)."""
    return np.zeros((num_steps, NUM_OUTPUTS), "<f4").tobytes()


def fill(pipeline: Pipeline, *lengths: int) -> list[Any]:
    """What is sent when frames of these lengths are offered for as long as they are wanted."""
    sent: list[Any] = []
    for length in lengths:
        if not pipeline.wants_inputs:
            break
        pipeline.offer(frame(length))
        message = pipeline.next_message()
        if message is not None:
            sent.append(message)
    return sent


@pytest.mark.parametrize("ahead", [1, 3, 8])
def test_no_more_frames_are_unanswered_than_may_be(ahead: int) -> None:
    """As many as were asked for; each reply makes room for one."""
    pipeline = make(ahead)
    assert len(fill(pipeline, *[1] * 20)) == ahead
    assert not pipeline.wants_inputs
    pipeline.take(reply())
    assert len(fill(pipeline, *[1] * 20)) == 1


def test_what_is_unanswered_is_what_a_server_keeps() -> None:
    """Replies of 4 KiB together, 400 bytes a time step here; a larger one goes alone."""
    pipeline = make()
    assert len(fill(pipeline, 5, 5, 1)) == 2
    assert not pipeline.wants_inputs
    assert pipeline.next_message() is None
    pipeline.take(reply(5))
    assert pipeline.next_message() == frame(1).tobytes()
    alone = make()
    assert len(fill(alone, 11, 1)) == 1
    assert alone.next_message() is None
    alone.take(reply(11))
    assert alone.next_message() is not None
    assert alone.position == 11


def test_replies_belong_to_frames_in_order() -> None:
    """The position goes on by the oldest frame's length."""
    pipeline = make(position=7)
    fill(pipeline, 2, 1, 3)
    positions = []
    for length in (2, 1, 3):
        found = pipeline.take(reply(length))
        assert found is not None
        assert found.outputs.shape == (length, NUM_OUTPUTS)
        positions.append(pipeline.position)
    assert positions == [9, 10, 13]
    assert pipeline.is_empty
    with pytest.raises(BadAnswer, match="no frame was sent"):
        pipeline.take(reply())


def test_a_new_connection_begins_with_what_was_not_answered() -> None:
    """The position of the oldest first, then all of them."""
    pipeline = make(position=7)
    sent = fill(pipeline, 2, 1, 3)
    pipeline.take(reply(2))
    greeting = json.dumps({"session_id": "s", "model": "m", "version": 1, "position": 13})
    place, *again = pipeline.begin(greeting)
    assert json.loads(place) == {"position": 9}
    assert again == sent[1:]
    assert pipeline.take('{"position": 9}') is None
    with pytest.raises(PositionConflict):
        pipeline.begin('{"error": {"status": 409, "code": "position_conflict", "detail": ""}}')


def test_refusals_are_raised() -> None:
    """By type; the frame stays unanswered, but for one that was done and whose reply is gone."""
    pipeline = make()
    fill(pipeline, 2, 1)
    with pytest.raises(QueueFull):
        pipeline.take('{"error": {"status": 503, "code": "queue_full", "detail": "d"}}')
    assert (pipeline.num_unanswered, pipeline.position) == (2, 0)
    with pytest.raises(ReplyNotKept):
        pipeline.take('{"error": {"status": 409, "code": "reply_not_kept", "position": 2}}')
    assert (pipeline.num_unanswered, pipeline.position) == (1, 2)


def test_several_inputs_go_as_text() -> None:
    """In an object by name; the reply says its position, which must be the one expected."""
    pipeline = make(num_inputs=2)
    both = {"x0": frame(2), "x1": frame(2, 2.0)}
    pipeline.offer(both)
    message = pipeline.next_message()
    assert isinstance(message, str)
    assert json.loads(message) == {"inputs": {name: each.tolist() for name, each in both.items()}}
    outputs = np.arange(2 * NUM_OUTPUTS, dtype=np.float32).reshape(2, NUM_OUTPUTS)
    found = pipeline.take(json.dumps({"outputs": outputs.tolist(), "position": 2}))
    assert found is not None
    np.testing.assert_array_equal(found.outputs, outputs)
    pipeline.offer(both)
    pipeline.next_message()
    with pytest.raises(BadAnswer, match="position 9 came; expected 4"):
        pipeline.take(json.dumps({"outputs": outputs.tolist(), "position": 9}))


@pytest.mark.parametrize("message", ["", "[]", "nonsense", b"\0\0\0"])
def test_what_is_no_message_is_said(message: Any) -> None:
    """BadAnswer, not an error of some parser."""
    pipeline = make()
    fill(pipeline, 1)
    with pytest.raises(BadAnswer):
        pipeline.take(message)
