"""A session of the witness told a second time, as plainly as can be, and every order tried out.

Written from what clients are promised, without a look at the AtomicSession of histories.py, with
which it is compared.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.harness.histories import (
    Absent,
    Answer,
    Call,
    Conflict,
    Delete,
    Done,
    Exists,
    NotKept,
    Open,
    Operation,
    Read,
    Reset,
    Seen,
    Step,
    Stepped,
    Write,
)

_RECORDED = 8


@dataclass(frozen=True, slots=True)
class Past:
    """A step that was done: where it started, what it was given, what it gave."""

    base: int
    values: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """Where a session stands, and its recorded steps, oldest first."""

    position: int
    total: int
    steps: tuple[Past, ...] = ()


Maybe = Session | None


def outcomes(session: Maybe, call: Call) -> Iterator[tuple[Answer, Maybe]]:
    """Every answer that a call may have, and what the session is after it."""
    if isinstance(call, Open):
        if session is not None:
            yield Exists(session.position), session
        else:
            assert call.position is not None
            assert call.total is not None
            yield Done(), Session(call.position, call.total)
    elif session is None:
        yield Absent(), None
    elif isinstance(call, Step):
        yield from _step(session, call)
    elif isinstance(call, Read):
        yield Seen(session.position, session.total), session
        yield Seen(session.position), session
    elif isinstance(call, Reset):
        yield Done(), Session(0, 0)
    elif isinstance(call, Write):
        yield Done(), Session(call.position, call.total)
    else:
        assert isinstance(call, Delete)
        yield Done(), None


def has_order(operations: Sequence[Operation]) -> bool:
    """Whether any order of all operations is one: by trying every one of them."""
    return _has_order({None}, list(operations))


def _has_order(sessions: set[Maybe], left: list[Operation]) -> bool:
    if all(each.answer is None for each in left):
        return True
    for index, operation in enumerate(left):
        if any(
            each.answered_at is not None and each.answered_at < operation.invoked_at
            for each in left
        ):
            continue
        after = set(_after(sessions, operation))
        if after and _has_order(after, left[:index] + left[index + 1 :]):
            return True
    return False


def _after(sessions: Iterable[Maybe], operation: Operation) -> Iterator[Maybe]:
    for session in sessions:
        for answer, after in outcomes(session, operation.call):
            if operation.answer is None or operation.answer == answer:
                yield after


def _step(session: Session, call: Step) -> Iterator[tuple[Answer, Maybe]]:
    if call.position in (None, session.position):
        outputs: list[int] = []
        total = session.total
        for value in call.values:
            total += value
            outputs.append(total)
        past = Past(session.position, call.values, tuple(outputs))
        end = session.position + len(call.values)
        after = Session(end, total, (*session.steps, past)[-_RECORDED:])
        yield Stepped(past.outputs, end), after
        yield Stepped(past.outputs, end, total=total), after
        return
    for age, past in enumerate(reversed(session.steps)):
        if (past.base, past.values) != (call.position, call.values):
            continue
        if age > 0:
            # Older ones are recorded where they are small, and may be forgotten.
            yield Conflict(session.position), session
            if call.return_state:
                yield NotKept(session.position), session
                return
        end = past.base + len(past.values)
        yield Stepped(past.outputs, end, replayed=True), session
        yield Stepped(past.outputs, end, replayed=True, total=past.outputs[-1]), session
        return
    yield Conflict(session.position), session
