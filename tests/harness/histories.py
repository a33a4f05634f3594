"""The history of one session of the witness, and the atomic session that it is measured against.

Outputs are integer running sums, the state is their last.
"""

from collections.abc import Set
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

MAX_RECORDED = 8


@dataclass(frozen=True, slots=True)
class Open:
    """Open the session. None where a client cannot know: a fork's target does not tell its total,
    and if the answer is lost not its position.
    """

    position: int | None = 0
    total: int | None = 0


@dataclass(frozen=True, slots=True)
class Step:
    """Feed one or more numbers, from a position if one is named."""

    values: tuple[int, ...]
    position: int | None = None
    return_state: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Back to position 0 and total 0."""


@dataclass(frozen=True, slots=True)
class Write:
    """Set the state and its position."""

    position: int
    total: int


@dataclass(frozen=True, slots=True)
class Read:
    """Look at the session: its state, its info, or as the source of a fork."""


@dataclass(frozen=True, slots=True)
class Delete:
    """End the session."""


Call = Open | Step | Reset | Write | Read | Delete


@dataclass(frozen=True, slots=True)
class Done:
    """Opened, reset, written or deleted."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step's reply; `total`: that of the state that came with it."""

    outputs: tuple[int, ...]
    position: int
    replayed: bool = False
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a read shows; `total` is None where only the position was shown."""

    position: int
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Exists:
    """409 session_exists with the session's position."""

    position: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """409 position_conflict with the session's position."""

    position: int


@dataclass(frozen=True, slots=True)
class NotKept:
    """409 reply_not_kept with the session's position; never because of a reply's size, since the
    witness's replies are small.
    """

    position: int


@dataclass(frozen=True, slots=True)
class Absent:
    """404 session_not_found."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Any answer that says that nothing was done, and nothing of the session."""


Answer = Done | Stepped | Seen | Exists | Conflict | NotKept | Absent | Refused


@dataclass(frozen=True, slots=True)
class Operation:
    """One request, times on one clock. Without an answer (none came, or one that says `unknown`) it
    may take effect at any time after it was sent, or never. A retry is an operation of its own.
    """

    call: Call
    invoked_at: float
    answer: Answer | None = None
    answered_at: float | None = None
    client: str = ""

    def __post_init__(self) -> None:
        answered = self.answer is not None
        if answered != (self.answered_at is not None):
            raise ValueError(f"{self}: an answer has a time, and no answer has none")
        if self.answered_at is not None and self.answered_at < self.invoked_at:
            raise ValueError(f"{self}: it was answered before it was sent")
        if isinstance(self.call, Step) and not self.call.values:
            raise ValueError(f"{self}: a step has one value or more")
        if isinstance(self.call, Open) and self.call.position is None:
            if self.call.total is not None:
                raise ValueError(f"{self}: a total without a position")
            if isinstance(self.answer, Done):
                raise ValueError(f"{self}: whoever was answered knows the position")

    def __str__(self) -> str:
        end = "" if self.answered_at is None else f"{self.answered_at:.6f}"
        answer = "no answer" if self.answer is None else self.answer
        return f"[{self.invoked_at:.6f} .. {end}] {self.client} {self.call} -> {answer}"


class Entry(NamedTuple):
    """A recorded step: where it started, its inputs, the total before it."""

    base: int
    values: tuple[int, ...]
    before: int


class State(NamedTuple):
    """Where the session stands; position -1 where there is none.

    `recorded`: the last steps, the very last at the end; None for one that nobody asks for.
    `floating`: all totals are off by one unknown number, until an answer shows one of them.
    """

    position: int
    total: int
    recorded: tuple[Entry | None, ...] = ()
    floating: bool = False


ABSENT = State(-1, 0)


class AtomicSession:
    """What one operation at a time makes of a session.

    `asked`: the bases and inputs of steps that an answer of the history calls recorded or not. A
    recorded step that is not among them cannot be told from one that was forgotten, and is not
    kept, so that states which differ in nothing else are equal.
    """

    def __init__(self, asked: Set[tuple[int, tuple[int, ...]]]) -> None:
        self.asked = asked

    def __repr__(self) -> str:
        return f"<AtomicSession asked={len(self.asked)}>"

    def effect(self, state: State, call: Call) -> State:
        """The state after a call of which no answer tells; the same state where it does nothing."""
        if isinstance(call, Open):
            return _opened(call) if state.position < 0 else state
        if state.position < 0:
            return state
        if isinstance(call, Step):
            return self._advance(state, call) if _may_run(state, call) else state
        if isinstance(call, Reset):
            return State(0, 0)
        if isinstance(call, Write):
            return State(call.position, call.total)
        return ABSENT if isinstance(call, Delete) else state

    def follow(self, state: State, call: Call, answer: Answer) -> State | None:
        """The state after a call with this answer; None if it cannot have been the answer."""
        is_there = state.position >= 0
        if isinstance(answer, Done):
            if isinstance(call, Step | Read) or is_there == isinstance(call, Open):
                return None
            return self.effect(state, call)
        if isinstance(answer, Absent):
            return None if is_there or isinstance(call, Open) else state
        if not is_there or isinstance(answer, Refused):
            return None
        if isinstance(call, Step):
            return self._follow_step(state, call, answer)
        if answer.position != state.position:
            return None
        if isinstance(answer, Exists):
            return state if isinstance(call, Open) else None
        if isinstance(answer, Seen) and isinstance(call, Read):
            return state if answer.total is None else _anchor(state, state.total, answer.total)
        return None

    def _follow_step(self, state: State, call: Step, answer: Answer) -> State | None:
        entry = _recorded(state, call)
        is_last = entry is not None and entry is state.recorded[-1]
        if isinstance(answer, Stepped):
            if not answer.replayed:
                if not _may_run(state, call):
                    return None
                anchored = _anchor_reply(state, state.position, state.total, call, answer)
                return None if anchored is None else self._advance(anchored, call)
            if entry is None or (call.return_state and not is_last):
                return None
            return _anchor_reply(state, entry.base, entry.before, call, answer)
        if _may_run(state, call) or not isinstance(answer, Conflict | NotKept):
            return None
        # The very last step is always recorded; an older one may be, and may be forgotten.
        right = not is_last and (
            isinstance(answer, Conflict) or (entry is not None and call.return_state)
        )
        return state if right and answer.position == state.position else None

    def _advance(self, state: State, call: Step) -> State:
        recorded = state.recorded
        is_asked = (state.position, call.values) in self.asked
        if recorded or is_asked:
            entry = Entry(state.position, call.values, state.total) if is_asked else None
            recorded = (*recorded[1 - MAX_RECORDED :], entry)
            while recorded and recorded[0] is None:
                recorded = recorded[1:]
        end, total = state.position + len(call.values), state.total + sum(call.values)
        if state.floating and not recorded:
            total = 0
        return State(end, total, recorded, state.floating)


def _opened(call: Open) -> State:
    return State(call.position or 0, call.total or 0, floating=call.total is None)


def _may_run(state: State, call: Step) -> bool:
    return call.position is None or call.position == state.position


def _recorded(state: State, call: Step) -> Entry | None:
    for entry in state.recorded:
        if entry is not None and entry.base == call.position and entry.values == call.values:
            return entry
    return None


def _anchor(state: State, total: int, shown: int) -> State | None:
    """The state in which `total`, one of its own, is what an answer shows; None if it is not."""
    if not state.floating:
        return state if total == shown else None
    off = shown - total
    recorded = tuple(
        entry and entry._replace(before=entry.before + off) for entry in state.recorded
    )
    return State(state.position, state.total + off, recorded)


def _anchor_reply(
    state: State, base: int, before: int, call: Step, answer: Stepped
) -> State | None:
    """The same for the outputs of a step from `base` and the total `before`."""
    if len(answer.outputs) != len(call.values) or answer.position != base + len(call.values):
        return None
    start = answer.outputs[0] - call.values[0]
    if answer.outputs != tuple(accumulate(call.values, initial=start))[1:]:
        return None
    if answer.total not in (None, answer.outputs[-1]):
        return None
    return _anchor(state, before, start)
