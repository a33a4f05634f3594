"""The position rules: may a step run, is it a repeat, or is it refused. Pure.

A session at position s keeps the replies of its last steps, each with the position that the step
began at. What becomes of a step is the first line that fits, from the top:

    the step names                              and then
    ------------------------------------------  ---------------------------------------------------
    no position                                 it runs, from s
    s                                           it runs
    a position that no kept reply began at      PositionConflict: wrong, too far on, or too long ago
    p, and does not commit                      PositionConflict: what is only looked at is never
                                                kept, and so never a repeat
    p, with other inputs than were recorded     PositionConflict: another step was done there
    p, whose outputs were too large to keep     ReplyNotKept
    p, and wants the state, which is kept       ReplyNotKept
    after the very last step alone
    p, and ends the session                     PositionConflict: it was done, and ended nothing
    p                                           the recorded reply comes again, and nothing moves

A step of T time steps that runs leads to s + T, which no model with a longest sequence lets go
beyond it (SequenceTooLong). A step that does not commit runs likewise and leaves the session at s.

A stream that begins anew says which position its client saw last, and is sent what came after it:

    the client saw                              and then
    ------------------------------------------  ---------------------------------------------------
    nothing that it names                       nothing comes again
    s                                           nothing comes again
    more than s                                 PositionConflict
    a position that no kept reply began at      ReplyNotKept
    p, and of the replies since then one was    ReplyNotKept
    too large to keep
    p                                           the replies of all steps since then, oldest first

A session that has ended is judged in sequences.py: its very last step alone comes again.
"""

from collections.abc import Callable

from carousel.service.errors import PositionConflict, ReplyNotKept, SequenceTooLong
from carousel.service.sessions.recorded_reply import RecordedReply, unpack_replies
from carousel.service.sessions.session_record import SessionMeta


def find_repeat(
    meta: SessionMeta,
    position: int | None,
    digest: Callable[[], bytes],
    *,
    commit: bool,
    return_state: bool,
    ends: bool = False,
) -> RecordedReply | None:
    """None when a step that names `position` may run; the recorded reply when it was done already.

    `digest` gives that of the step's inputs. Raises PositionConflict, or ReplyNotKept for a step
    that was done and cannot be answered again; both carry the session's `position`.
    """
    if position is None or position == meta.position:
        return None
    reply = _recorded(meta, position)
    if reply is None or not commit or reply.digest != digest():
        raise PositionConflict(
            f"the step names position {position}; the session stands at {meta.position}",
            hint="read the session's position and send what comes after it",
            position=meta.position,
        )
    if reply.outputs is None:
        raise ReplyNotKept(
            "the step was done, and its outputs were too large to keep", position=meta.position
        )
    if return_state and reply.position != meta.position:
        raise ReplyNotKept(
            "the step was done; the state after it is kept for the very last step only",
            position=meta.position,
        )
    if ends:
        raise PositionConflict(
            f"the step from position {reply.base} was done, and did not end the session, which "
            f"stands at {meta.position}",
            position=meta.position,
        )
    return reply


def position_after(meta: SessionMeta, num_steps: int, longest: int | None) -> int:
    """Where a session stands after so many steps; raises SequenceTooLong beyond the `longest`."""
    position = meta.position + num_steps
    if longest is not None and position > longest:
        raise SequenceTooLong(
            f"{num_steps} time steps given; the session stands at {meta.position}, and the model "
            f"takes {longest} in all"
        )
    return position


def replies_after(meta: SessionMeta, position: int) -> tuple[RecordedReply, ...]:
    """The recorded replies of the steps after `position`, oldest first; none if it is the
    session's own.

    Raises PositionConflict for a position the session has not reached, and ReplyNotKept where a
    reply is missing: it was not kept, or `position` is inside a step.
    """
    if position == meta.position:
        return ()
    if position > meta.position:
        raise PositionConflict(
            f"position {position} given; the session stands at {meta.position}",
            position=meta.position,
        )
    replies = unpack_replies(meta.replies)
    bases = [each.base for each in replies]
    if position not in bases:
        raise ReplyNotKept(
            f"the replies after position {position} are not all kept", position=meta.position
        )
    found = replies[bases.index(position) :]
    if any(each.outputs is None for each in found):
        raise ReplyNotKept("a reply was too large to keep", position=meta.position)
    return found


def _recorded(meta: SessionMeta, position: int) -> RecordedReply | None:
    for reply in reversed(unpack_replies(meta.replies)):
        if reply.base == position:
            return reply
    return None
