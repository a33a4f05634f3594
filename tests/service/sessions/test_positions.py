"""The position rules of a session, first alone, then where another process writes too."""

import numpy as np
import pytest

from carousel.models.row import Array
from carousel.service.errors import (
    PositionConflict,
    ReplyNotKept,
)
from carousel.service.sessions.positions import find_repeat
from carousel.service.sessions.recorded_reply import (
    MAX_REPLY_BYTES,
    RecordedReply,
    add_reply,
    digest,
)
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta

SAME, OTHER = (np.array([value], np.float32) for value in (1, 2))
KEPT, TOO_LARGE = np.zeros(1, np.float32), np.zeros(MAX_REPLY_BYTES + 1, np.uint8)


def _meta(*bases: int, output: Array = KEPT) -> SessionMeta:
    """A session whose last steps, of one time step each, started there."""
    replies = b""
    for base in bases:
        replies = add_reply(replies, base, base + 1, {"x": SAME}, {"y": output})
    identity = SessionIdentity(("", "s"), "m", "w", 0.0, 60.0)
    return SessionMeta(identity, 1, b"r" * 16, bases[-1] + 1, 0.0, replies)


def _judge(
    meta: SessionMeta,
    position: int | None,
    inputs: Array = SAME,
    *,
    commit: bool = True,
    return_state: bool = False,
) -> RecordedReply | None:
    return find_repeat(
        meta, position, lambda: digest({"x": inputs}), commit=commit, return_state=return_state
    )


HEAD = _meta(4, 5, 6)


@pytest.mark.parametrize("position", [None, 7])
@pytest.mark.parametrize("commit", [True, False])
def test_a_step_runs_from_where_the_session_stands(position: int | None, commit: bool) -> None:
    """A step that names the session's position, or none, runs."""
    assert _judge(HEAD, position, commit=commit) is None


@pytest.mark.parametrize("base", [4, 5, 6])
def test_a_step_that_was_done_is_its_own_reply(base: int) -> None:
    """A step from where a recorded step started, with the same inputs, is that step."""
    found = _judge(HEAD, base)
    assert found is not None
    assert found.base == base


@pytest.mark.parametrize("position", [3, 0, 8, 100])
def test_any_other_position_conflicts(position: int) -> None:
    """Neither the session's position nor a recorded start: 409 with the session's position."""
    with pytest.raises(PositionConflict) as caught:
        _judge(HEAD, position)
    assert caught.value.fields == {"position": 7}
    assert caught.value.advanced is False


def test_other_inputs_are_no_repeat() -> None:
    """A recorded start with different inputs is a conflict, not a reply to something else."""
    with pytest.raises(PositionConflict):
        _judge(HEAD, 6, OTHER)


def test_what_is_only_looked_at_is_never_a_repeat() -> None:
    """A step with commit=false obeys position and is never answered from the record."""
    with pytest.raises(PositionConflict):
        _judge(HEAD, 6, commit=False)


def test_the_state_is_kept_for_the_very_last_step_only() -> None:
    """A repeat with return_state is answered for the last step, 409 reply_not_kept before it."""
    assert _judge(HEAD, 6, return_state=True) is not None
    with pytest.raises(ReplyNotKept) as caught:
        _judge(HEAD, 5, return_state=True)
    assert caught.value.fields == {"position": 7}


def test_a_reply_too_large_to_keep_says_so() -> None:
    """The step was done and its outputs are gone: 409 reply_not_kept, not a conflict."""
    meta = _meta(6, output=TOO_LARGE)
    with pytest.raises(ReplyNotKept) as caught:
        _judge(meta, 6)
    assert caught.value.fields == {"position": 7}
    with pytest.raises(PositionConflict):
        _judge(meta, 6, OTHER)
