"""Two real services on one Redis: a write that comes late is refused, and no session moves twice.

The short form of `python -m tests.harness.replicas`, whose own eyes are tested at the end.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness.chaos.truth import Violation
from tests.harness.faulty_proxy import Fault
from tests.harness.redis_server import require_redis
from tests.harness.replicas.pair import Pair, PairSession, Reply
from tests.harness.replicas.run import Plan, Run
from tests.harness.replicas.tally import Tally
from tests.harness.witness import export_witness

# What the session holds when the late write is begun: position and running sum.
BEFORE = (1, 3)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The witness, exported once."""
    require_redis()
    folder = tmp_path_factory.getbasetemp() / "witness-for-replicas"
    export_witness(folder)
    return folder


@pytest.fixture(scope="module")
def pair(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two services and their Redis."""
    with Pair(tmp_path_factory.mktemp("redis"), repository) as pair:
        yield pair


@pytest.fixture
def session(pair: Pair) -> Iterator[PairSession]:
    """A session that `a` has in memory, at `BEFORE`."""
    session = pair.open()
    assert session.step(pair.a, 3, position=0).place == BEFORE
    yield session
    pair.proxy.heal()


def hold_step(
    pair: Pair, session: PairSession, meanwhile: Callable[[], object], **more: int
) -> Reply:
    """What `a` answers to a step by 5 whose write reaches Redis after `meanwhile` was done."""
    pair.proxy.arm(Fault.HOLD, session.key)
    sent = session.begin(pair.a, 5, **more)
    pair.proxy.wait_struck()
    meanwhile()
    pair.proxy.release()
    return sent.reply()


def stands(pair: Pair, session: PairSession, position: int, total: int) -> None:
    """Assert that both services say that a session stands there."""
    assert session.place(pair.a) == (position, total)
    assert session.place(pair.b) == (position, total)


def test_a_late_write_is_refused_with_the_true_position(pair: Pair, session: PairSession) -> None:
    """Another step got in between: 409 with the session's position, and it counts once."""
    answer = hold_step(pair, session, lambda: session.step(pair.b, 7, position=1), position=1)
    assert (answer.status, answer.document["code"]) == (409, "position_conflict")
    assert (answer.document["position"], answer.document["advanced"]) == (2, False)
    stands(pair, session, 2, 10)


def test_a_late_write_of_the_same_step_is_a_replay(pair: Pair, session: PairSession) -> None:
    """Its retry was served elsewhere: both are told the same, and it counts once."""
    told: list[Reply] = []
    answer = hold_step(
        pair, session, lambda: told.append(session.raw(pair.b, 5, position=1)), position=1
    )
    assert answer.replayed
    assert not told[0].replayed
    assert answer.place == told[0].place == (2, 8)
    stands(pair, session, 2, 8)


def test_a_late_step_without_a_position_runs_on_what_is_there(
    pair: Pair, session: PairSession
) -> None:
    """It comes after the other one, and the other one is not lost."""
    answer = hold_step(pair, session, lambda: session.step(pair.b, 7))
    assert answer.place == (3, 15)
    stands(pair, session, 3, 15)


def test_a_late_step_runs_at_most_until_its_deadline(pair: Pair, session: PairSession) -> None:
    """Its write is refused after the deadline: 504, and nothing moved."""

    def meanwhile() -> None:
        end = time.monotonic() + 0.3
        session.step(pair.b, 7)
        while time.monotonic() < end:
            session.place(pair.b)

    answer = hold_step(pair, session, meanwhile, timeout_ms=200)
    assert (answer.status, answer.document["code"]) == (504, "deadline_exceeded")
    assert answer.document["advanced"] is False
    stands(pair, session, 2, 10)


@pytest.mark.parametrize("how", ["reset", "write", "delete"])
def test_a_position_that_comes_again_is_another_place(
    pair: Pair, session: PairSession, how: str
) -> None:
    """Reset, written or opened anew, the session is at the late step's position again: the step
    runs on the new state, and never puts the old one back.
    """

    def meanwhile() -> None:
        if how == "write":
            assert session.write(pair.b, 1, 40).reply().status == 200
            return
        if how == "reset":
            assert session.send(pair.b, "POST", f"{session.path}/reset").status == 200
        else:
            assert session.send(pair.b, "DELETE").status == 204
            assert session.open(pair.b).status == 201
        assert session.step(pair.b, 40, position=0).place == (1, 40)

    assert hold_step(pair, session, meanwhile, position=1).place == (2, 45)
    stands(pair, session, 2, 45)


def test_a_late_write_brings_no_session_back(pair: Pair, session: PairSession) -> None:
    """It was deleted meanwhile: 404, and it stays so."""
    answer = hold_step(pair, session, lambda: session.send(pair.b, "DELETE"), position=1)
    assert (answer.status, answer.document["code"]) == (404, "session_not_found")
    assert session.send(pair.b, "GET").status == 404


def test_a_session_is_deleted_once(pair: Pair, session: PairSession) -> None:
    """Deleted elsewhere before the late delete arrives: that one finds none, 404."""
    pair.proxy.arm(Fault.HOLD, b"EVALSHA")
    sent = session.begin_delete(pair.a)
    pair.proxy.wait_struck()
    assert session.send(pair.b, "DELETE").status == 204
    pair.proxy.release()
    answer = sent.reply()
    assert (answer.status, answer.document["code"]) == (404, "session_not_found")


def test_a_late_condition_is_judged_by_what_is_there(pair: Pair, session: PairSession) -> None:
    """If-Match held when it was looked at, and no longer when it is written: 412."""
    tag = pair.a.client.get(f"{session.path}/state").headers["etag"]
    pair.proxy.arm(Fault.HOLD, b"EVALSHA")
    sent = session.write(pair.a, 9, 90, If_Match=tag)
    pair.proxy.wait_struck()
    assert session.step(pair.b, 7, position=1).place == (2, 10)
    pair.proxy.release()
    assert sent.reply().status == 412
    stands(pair, session, 2, 10)


def test_what_is_in_memory_is_no_ground_for_a_replay(pair: Pair, session: PairSession) -> None:
    """A step that was answered, and forgotten when the state was written elsewhere: a conflict."""
    assert session.write(pair.b, 5, 50).reply().status == 200
    answer = session.step(pair.a, 3, position=0)
    assert (answer.status, answer.document["position"]) == (409, 5)
    stands(pair, session, 5, 50)


def test_a_service_that_slept_finds_out_at_its_write(pair: Pair, session: PairSession) -> None:
    """SIGSTOP: what it has in memory is old when it wakes, and its step is judged anew."""
    pair.a.signal(signal.SIGSTOP)
    try:
        other = session.begin(pair.a, 5, position=1)
        same = session.begin(pair.a, 7, position=1)
        assert session.step(pair.b, 7, position=1).place == (2, 10)
    finally:
        pair.a.signal(signal.SIGCONT)
    answer = other.reply()
    assert (answer.status, answer.document["position"]) == (409, 2)
    repeat = same.reply()
    assert repeat.replayed
    assert repeat.place == (2, 10)
    stands(pair, session, 2, 10)


def test_a_service_that_slept_in_a_long_step_writes_once(pair: Pair, session: PairSession) -> None:
    """It fell asleep after it had sent its write, of 10,000 time steps: the retry that is served
    elsewhere is the replay of it, and its own late answer says the same.
    """
    values = [1, 2] * 5000
    pair.proxy.arm(Fault.HOLD, session.key)
    sent = session.begin(pair.a, *values, position=1)
    pair.proxy.wait_struck()
    pair.a.signal(signal.SIGSTOP)
    try:
        pair.proxy.release()
        deadline = time.monotonic() + 20.0
        while session.place(pair.b) == BEFORE:
            assert time.monotonic() < deadline, "the write did not arrive"
        repeat = session.raw(pair.b, *values, position=1)
    finally:
        pair.a.signal(signal.SIGCONT)
    assert repeat.replayed
    assert repeat.place == sent.reply().place == (10_001, 15_003)
    stands(pair, session, 10_001, 15_003)


def attack(plan: Plan, folder: Path, repository: Path) -> Tally:
    """What a run came to; raises Violation."""
    run = Run(plan, folder, repository)
    asyncio.run(run.go(lambda line: None))
    return run.tally


def test_histories_are_those_of_one_session(repository: Path, tmp_path: Path) -> None:
    """Clients that share sessions on two services, one of them now and then asleep or killed, get
    answers that one service, one request at a time, could have given.
    """
    tally = attack(Plan(seed=5, seconds=5, max_pause_s=1.5), tmp_path, repository)
    assert (tally.violations, tally.undecided) == (0, 0)
    assert tally.checked > 0
    assert tally.replays > 0
    assert tally.late_refused > 0


@pytest.mark.parametrize("broken", ["write-always", "forget-replies"])
def test_a_broken_promise_is_seen(repository: Path, tmp_path: Path, broken: str) -> None:
    """Without the compare-and-set, or without recorded replies, the run fails."""
    plan = Plan(
        seed=5,
        seconds=30,
        num_sessions=2,
        max_pause_s=0.2,
        module=("tests.harness.replicas.broken", broken),
    )
    with pytest.raises(Violation, match="session s"):
        attack(plan, tmp_path, repository)
