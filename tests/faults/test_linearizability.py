"""The checker of histories: it accepts what an atomic session can answer, and nothing else."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.histories import (
    Absent,
    Answer,
    Call,
    Conflict,
    Delete,
    Done,
    Exists,
    Open,
    Operation,
    Read,
    Reset,
    Seen,
    Step,
    Stepped,
    Write,
)
from tests.harness.linearizability import Undecided, check
from tests.harness.naive_session import Maybe, has_order, outcomes

_OPENED = Operation(Open(), 0, Done(), 1)


def _ran(at: float, end: float, values: tuple[int, ...], base: int, *outputs: int) -> Operation:
    """A named step that ran, sent and answered then."""
    return Operation(Step(values, base), at, Stepped(outputs, base + len(values)), end)


def _repeat(at: float, end: float, values: tuple[int, ...], base: int, *outputs: int) -> Operation:
    answer = Stepped(outputs, base + len(values), replayed=True)
    return Operation(Step(values, base), at, answer, end)


LEGAL: dict[str, list[Operation]] = {
    "one after the other": [_OPENED, _ran(2, 3, (5,), 0, 5), _ran(4, 5, (1, 2), 1, 6, 8)],
    "a retry is replayed": [_OPENED, _ran(2, 3, (5,), 0, 5), _repeat(4, 5, (5,), 0, 5)],
    "a lost answer may have counted": [
        _OPENED,
        Operation(Step((5,), 0), 2),
        _repeat(4, 5, (5,), 0, 5),
    ],
    "or not": [_OPENED, Operation(Step((5,), 0), 2), _ran(4, 5, (5,), 0, 5)],
    "a lost answer may count late": [
        _OPENED,
        Operation(Step((5,)), 2),
        Operation(Read(), 4, Seen(0, 0), 5),
        Operation(Read(), 6, Seen(1, 5), 7),
    ],
    "of two at once one is first": [
        _OPENED,
        _ran(2, 9, (5,), 0, 5),
        Operation(Step((7,), 0), 3, Conflict(1), 8),
    ],
    "an old reply may be forgotten": [
        _OPENED,
        _ran(2, 3, (5,), 0, 5),
        _ran(4, 5, (6,), 1, 11),
        Operation(Step((5,), 0), 6, Conflict(2), 7),
    ],
    "a reset may come before a conflict": [
        Operation(Reset(), 2, Done(), 12),
        Operation(Open(), 1, Done(), 3),
        Operation(Step((2, 3)), 4, Stepped((2, 5), 2), 5),
        Operation(Step((3, 3), 2), 10, Conflict(0), 16),
    ],
}

ILLEGAL: dict[str, list[Operation]] = {
    "a step that was acknowledged is lost": [
        _OPENED,
        _ran(2, 3, (5,), 0, 5),
        Operation(Read(), 4, Seen(0, 0), 5),
    ],
    "a retry counts twice": [
        _OPENED,
        _ran(2, 3, (5,), 0, 5),
        _repeat(4, 5, (5,), 0, 5),
        Operation(Read(), 6, Seen(2, 10), 7),
    ],
    "two steps run from one position": [
        _OPENED,
        _ran(2, 9, (5,), 0, 5),
        _ran(3, 8, (7,), 0, 7),
    ],
    "a replay has other outputs": [
        _OPENED,
        _ran(2, 3, (5,), 0, 5),
        _repeat(4, 5, (5,), 0, 6),
    ],
    "the very last step is forgotten": [
        _OPENED,
        _ran(2, 3, (5,), 0, 5),
        Operation(Step((5,), 0), 4, Conflict(1), 5),
    ],
    "a conflict names a position that never was": [
        _OPENED,
        _ran(2, 3, (5,), 0, 5),
        Operation(Step((9,), 0), 4, Conflict(7), 5),
    ],
    "a late write undoes a reset": [
        _OPENED,
        _ran(2, 3, (5,), 0, 5),
        Operation(Reset(), 4, Done(), 5),
        Operation(Read(), 6, Seen(1, 5), 7),
    ],
    "a deleted session comes back": [
        _OPENED,
        Operation(Delete(), 2, Done(), 3),
        Operation(Read(), 4, Seen(0, 0), 5),
    ],
    "an old position is read": [
        _OPENED,
        _ran(2, 3, (5,), 0, 5),
        _ran(4, 5, (5,), 1, 10),
        Operation(Read(), 6, Seen(1), 7),
    ],
    "an id is opened twice": [_OPENED, Operation(Open(), 2, Done(), 3)],
    "what is there is not found": [_OPENED, Operation(Read(), 2, Absent(), 3)],
    "what is not there exists": [Operation(Open(), 0, Exists(0), 1)],
}


@pytest.mark.parametrize("name", LEGAL)
def test_what_an_atomic_session_can_answer_is_accepted(name: str) -> None:
    """Each has an order, by every order tried out too."""
    verdict = check(LEGAL[name])
    assert verdict.is_linearizable, verdict.text
    assert has_order(LEGAL[name])


@pytest.mark.parametrize("name", ILLEGAL)
def test_what_no_atomic_session_can_answer_is_refused(name: str) -> None:
    """None has one, and the verdict says which operation has no place."""
    verdict = check(ILLEGAL[name])
    assert not verdict.is_linearizable
    assert verdict.stuck in ILLEGAL[name]
    assert str(verdict.stuck) in verdict.text
    assert not has_order(ILLEGAL[name])


@settings(max_examples=400, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 6), st.integers(1, 3))
def test_it_agrees_with_every_order_tried_out(random: Random, count: int, clients: int) -> None:
    """Histories that are legal as they were made, and again with something changed in them."""
    history = simulate(random, count, clients, lost=0.25)
    assert check(history).is_linearizable
    for _ in range(3):
        changed = change(random, history)
        assert check(changed).is_linearizable == has_order(changed), "\n".join(map(str, changed))


def test_a_long_history_is_judged() -> None:
    """Six hundred operations of eight clients, a fiftieth without an answer; and one wrong output
    far behind.
    """
    history = simulate(Random(5), 600, 8, lost=0.02, named=1.0)
    assert check(history).is_linearizable
    late = max(
        (each for each in history if isinstance(each.answer, Stepped)), key=lambda op: op.invoked_at
    )
    assert isinstance(late.answer, Stepped)
    # Out of reach of whatever the lost operations may have added.
    outputs = tuple(value + 1_000_000 for value in late.answer.outputs)
    wrong = replace(late, answer=replace(late.answer, outputs=outputs, total=None))
    assert not check([wrong if each is late else each for each in history]).is_linearizable


def test_too_many_orders_are_given_up() -> None:
    """It says that it does not know, instead of going on for ever or making something up."""
    lost = [Operation(Step((1 << n,)), 2) for n in range(18)]
    impossible = Operation(Read(), 3, Seen(99, 1), 4)
    with pytest.raises(Undecided):
        check([_OPENED, *lost, impossible], max_tried=1000)


def simulate(
    random: Random, count: int, clients: int, *, lost: float, named: float = 0.6
) -> list[Operation]:
    """What so many clients may see of an atomic session; some answers are lost, and some of those
    operations count, at any time after they were sent.
    """
    session: Maybe = None
    time = 0.0
    history: list[Operation] = []
    adrift: list[Call] = []
    busy: dict[int, tuple[Call, float, Answer | None]] = {}
    while count or busy:
        time += 1
        if adrift and random.random() < 0.1:
            _, session = _one(random, session, adrift.pop(random.randrange(len(adrift))))
        client = random.randrange(clients)
        if client not in busy:
            if count:
                count -= 1
                call = _call(random, session, named)
                if random.random() < lost:
                    history.append(Operation(call, time))
                    adrift += [call] * random.randrange(2)
                else:
                    busy[client] = call, time, None
            continue
        call, sent, answer = busy[client]
        if answer is None:
            answer, session = _one(random, session, call)
            busy[client] = call, sent, answer
        else:
            history.append(Operation(call, sent, answer, time))
            del busy[client]
    return history


def change(random: Random, history: list[Operation]) -> list[Operation]:
    """Something else than what was seen."""
    changed = list(history)
    index = random.randrange(len(changed))
    one, other = changed[index], random.choice(changed)
    if one.answer is None or random.random() < 0.2:
        del changed[index]
    elif isinstance(one.answer, Stepped) and random.random() < 0.5:
        outputs = tuple(value + random.choice((-1, 1)) for value in one.answer.outputs)
        changed[index] = replace(one, answer=replace(one.answer, outputs=outputs, total=None))
    elif other.answer is not None:
        changed[index] = replace(one, answer=other.answer)
    return changed


def _one(random: Random, session: Maybe, call: Call) -> tuple[Answer, Maybe]:
    return random.choice(list(outcomes(session, call)))


def _call(random: Random, session: Maybe, named: float) -> Call:
    at = session.position if session is not None else 0
    kind = random.random()
    if kind < 0.2 and session is not None and session.steps:
        past = random.choice(session.steps[-2:])
        return Step(past.values, past.base, random.random() < 0.2)
    if kind < 0.75:
        values = tuple(random.randint(1, 5) for _ in range(random.randint(1, 2)))
        base = (
            (at if random.random() < 0.85 else random.randint(0, 5))
            if (random.random() < named)
            else None
        )
        return Step(values, base, random.random() < 0.2)
    rest: list[Call] = [Read(), Read(), Open(), Open(), Reset(), Delete()]
    rest.append(Write(random.randint(0, 4), random.randint(0, 9)))
    return random.choice(rest)
