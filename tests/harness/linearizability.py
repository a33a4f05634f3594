"""Is a history of one session what an atomic session could have answered?

Wing and Gong's search in Lowe's just-in-time form ("Testing for linearizability", 2017): answers
are taken in order of time, and before each the operation it answers is put into the order, behind
whatever it needs of those that were sent and not yet answered. What is kept between two answers is
the set of ways things may stand: a state of the session, and which operations were put in early.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.harness.histories import (
    ABSENT,
    Answer,
    AtomicSession,
    Call,
    Conflict,
    Done,
    NotKept,
    Open,
    Operation,
    Refused,
    State,
    Step,
    Stepped,
)

MAX_TRIED: Final = 2_000_000
_MAX_SHOWN: Final = 12


class Undecided(Exception):
    """The search was given up: too many orders are possible."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`order`: an order of the whole history or, where there is none, of the longest prefix that
    has one, with the operations without an answer that took effect; `stuck`: the first operation
    whose answer has no place after it.
    """

    is_linearizable: bool
    order: tuple[Operation, ...]
    stuck: Operation | None
    text: str


class _Way(NamedTuple):
    """How things may stand: the session's state, and the operations that are in the order though
    they were not answered yet, or never.
    """

    early: frozenset[int]
    state: State


class _Link(NamedTuple):
    """The last operation of an order, and what came before it."""

    number: int
    before: "_Link | None"


_Ways = dict[_Way, _Link | None]


def check(operations: Iterable[Operation], *, max_tried: int = MAX_TRIED) -> Verdict:
    """Judge all that was done to one session, from before it was first opened; in any order.

    Raises Undecided.
    """
    # What was refused did nothing and says nothing of the session.
    told = [each for each in operations if not isinstance(each.answer, Refused)]
    return _Search(sorted(told, key=lambda each: each.invoked_at), max_tried).run()


class _Search:
    def __init__(self, operations: Sequence[Operation], max_tried: int) -> None:
        self._operations = operations
        self._session = AtomicSession(_asked(operations))
        self._positions = _positions(operations)
        self._left = max_tried
        # Those sent and not answered, in the order they were sent; and by call, where no answer
        # ever came.
        self._pending: dict[int, None] = {}
        self._unanswered: dict[Call, list[int]] = defaultdict(list)

    def run(self) -> Verdict:
        """Take the answers in order of time."""
        ways: _Ways = {_Way(frozenset(), ABSENT): None}
        for index, is_answer in _events(self._operations):
            if not is_answer:
                self._send(index)
                continue
            after = self._answer(ways, index)
            if not after:
                return self._stuck(ways, index)
            ways = after
            del self._pending[index]
        order = _order(next(iter(ways.values())), self._operations)
        return Verdict(True, order, None, f"linearizable, {len(order)} operations")

    def _send(self, index: int) -> None:
        operation = self._operations[index]
        if operation.answer is None:
            self._unanswered[operation.call].append(index)
        else:
            self._pending[index] = None

    def _answer(self, ways: _Ways, index: int) -> _Ways:
        """Every way things may stand once this operation is in the order."""
        after: _Ways = {}
        seen: set[_Way] = set()
        stack = list(ways.items())
        while stack:
            way, link = stack.pop()
            if way in seen:
                continue
            seen.add(way)
            self._left -= 1
            if self._left < 0:
                raise Undecided(f"more than {len(seen)} ways before {self._operations[index]}")
            if index in way.early:
                after.setdefault(_Way(way.early - {index}, way.state), link)
                continue
            stack += self._next(way, link)
        return _frugal(after, self._pending.keys())

    def _next(self, way: _Way, link: _Link | None) -> Iterator[tuple[_Way, _Link]]:
        """What may be put into the order next.

        An operation whose answer says that it changed nothing is put in at once and alone, where
        it fits: in an order that has it later it can as well be here.
        """
        changes: list[tuple[_Way, _Link]] = []
        for index in self._pending:
            if index in way.early:
                continue
            operation = self._operations[index]
            assert operation.answer is not None
            state = self._session.follow(way.state, operation.call, operation.answer)
            if state is None:
                continue
            step = _Way(way.early | {index}, state), _Link(index, link)
            if state == way.state and _only_looks(operation.answer):
                yield step
                return
            changes.append(step)
        yield from changes
        # Of those that do the same one is as good as another: the first that is left is taken. One
        # that changes nothing here need not be there at all.
        for call, members in self._unanswered.items():
            left = next((index for index in members if index not in way.early), None)
            if left is None:
                continue
            for variant in self._variants(call):
                state = self._session.effect(way.state, variant)
                if state != way.state:
                    yield _Way(way.early | {left}, state), _Link(left, link)

    def _variants(self, call: Call) -> Iterable[Call]:
        """A fork whose answer was lost opened its target somewhere: where an answer speaks of."""
        if isinstance(call, Open) and call.position is None:
            return [Open(position, None) for position in self._positions]
        return [call]

    def _stuck(self, ways: _Ways, index: int) -> Verdict:
        if any(isinstance(call, Open) and call.position is None for call in self._unanswered):
            # It may have opened where nobody looked: at none of the positions that were tried.
            raise Undecided(f"{self._operations[index]} has no place, and a fork was not answered")
        order = _order(next(iter(ways.values())), self._operations)
        stuck = self._operations[index]
        states = sorted({way.state for way in ways}, key=lambda state: state.position)
        lines = [f"not linearizable: {stuck} has no place after"]
        lines += [f"  {each}" for each in order[-_MAX_SHOWN:]]
        lines.append("where the session may stand at")
        lines += [f"  {each}" for each in states[:_MAX_SHOWN]]
        return Verdict(False, order, stuck, "\n".join(lines))


def _events(operations: Sequence[Operation]) -> Iterator[tuple[int, bool]]:
    """Indices in order of time, with whether it is the answer. At one moment what is sent comes
    first: the two may have been at the same time.
    """
    events = [(each.invoked_at, False, index) for index, each in enumerate(operations)]
    events += [
        (each.answered_at, True, index)
        for index, each in enumerate(operations)
        if each.answered_at is not None
    ]
    return ((index, is_answer) for _, is_answer, index in sorted(events))


def _asked(operations: Iterable[Operation]) -> set[tuple[int, tuple[int, ...]]]:
    """Steps that an answer tells to be recorded or not."""
    return {
        (each.call.position, each.call.values)
        for each in operations
        if isinstance(each.call, Step)
        and each.call.position is not None
        and (
            isinstance(each.answer, Conflict | NotKept)
            or (isinstance(each.answer, Stepped) and each.answer.replayed)
        )
    }


def _frugal(ways: _Ways, pending: Set[int]) -> _Ways:
    """Without those that are as another one is, and have used more of what was never answered."""
    kept: dict[_Way, list[frozenset[int]]] = defaultdict(list)
    frugal: _Ways = {}
    for way in sorted(ways, key=lambda way: len(way.early)):
        used = way.early - pending
        alike = kept[_Way(way.early - used, way.state)]
        if not any(other <= used for other in alike):
            alike.append(used)
            frugal[way] = ways[way]
    return frugal


def _only_looks(answer: Answer) -> bool:
    """Whether an operation that was answered so changed nothing, wherever it stands."""
    if isinstance(answer, Stepped):
        return answer.replayed
    return not isinstance(answer, Done)


def _positions(operations: Iterable[Operation]) -> list[int]:
    """Where a session may have stood before each of the answers that show where it stands."""
    found = {0}
    for each in operations:
        position = getattr(each.answer, "position", None)
        if position is not None:
            found |= {position}
            if isinstance(each.call, Step):
                found |= {max(0, position - len(each.call.values))}
    return sorted(found)


def _order(link: _Link | None, operations: Sequence[Operation]) -> tuple[Operation, ...]:
    order: list[Operation] = []
    while link is not None:
        order.append(operations[link.number])
        link = link.before
    return tuple(reversed(order))
