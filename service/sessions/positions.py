"""The position rules: may a step run, is it a repeat, or is it refused.
Pure.
"""

from collections.abc import Callable

from carousel.service.errors import PositionConflict, ReplyNotKept, SequenceTooLong
from carousel.service.sessions.record import Head
from carousel.service.sessions.reply import Reply, unpack_replies


def find_repeat(
    head: Head,
    position: int | None,
    digest: Callable[[], bytes],
    *,
    commit: bool,
    return_state: bool,
) -> Reply | None:
    """None when a step that names `position` may run; the recorded reply when it was done already.

    `digest` gives that of the step's inputs. Raises PositionConflict, or ReplyNotKept for a step
    that was done and cannot be answered again; both carry the session's `position`.
    """
    if position is None or position == head.position:
        return None
    reply = _recorded(head, position)
    # A step that is only looked at is never recorded, and so never a repeat.
    if reply is None or not commit or reply.digest != digest():
        raise PositionConflict(
            f"the step names position {position}; the session stands at {head.position}",
            hint="read the session's position and send what comes after it",
            position=head.position,
        )
    if reply.outputs is None:
        raise ReplyNotKept(
            "the step was done, and its outputs were too large to keep", position=head.position
        )
    if return_state and reply.position != head.position:
        raise ReplyNotKept(
            "the step was done; the state after it is kept for the very last step only",
            position=head.position,
        )
    return reply


def position_after(head: Head, num_steps: int, longest: int | None) -> int:
    """Where a session stands after so many steps; raises SequenceTooLong beyond the `longest`."""
    position = head.position + num_steps
    if longest is not None and position > longest:
        raise SequenceTooLong(
            f"{num_steps} time steps given; the session stands at {head.position}, and the model "
            f"takes {longest} in all"
        )
    return position


def replies_after(head: Head, position: int) -> tuple[Reply, ...]:
    """The recorded replies of the steps after `position`, oldest first; none if it is the
    session's own.

    Raises PositionConflict for a position the session has not reached, and ReplyNotKept where a
    reply is missing: it was not kept, or `position` is inside a step.
    """
    if position == head.position:
        return ()
    if position > head.position:
        raise PositionConflict(
            f"position {position} given; the session stands at {head.position}",
            position=head.position,
        )
    replies = unpack_replies(head.replies)
    bases = [each.base for each in replies]
    if position not in bases:
        raise ReplyNotKept(
            f"the replies after position {position} are not all kept", position=head.position
        )
    found = replies[bases.index(position) :]
    if any(each.outputs is None for each in found):
        raise ReplyNotKept("a reply was too large to keep", position=head.position)
    return found


def _recorded(head: Head, position: int) -> Reply | None:
    for reply in reversed(unpack_replies(head.replies)):
        if reply.base == position:
            return reply
    return None
