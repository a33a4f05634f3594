"""Real services whose connections to Redis break at the worst moments, and whose Redis dies: what
is not known is said to be unknown, a retry finds out, and nothing counts twice.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.faulty_proxy import Fault
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S
from tests.harness.redis_server import require_redis
from tests.harness.replicas import aof
from tests.harness.replicas.pair import Pair, PairSession, Reply
from tests.harness.replicas.run import Plan, Run
from tests.harness.witness import export_witness

# The command was run, and its answer is lost; or it was not.
DONE = [Fault.LOSE_REPLY, Fault.CUT_REPLY, Fault.HALF_CLOSE]
NOT_DONE = [Fault.LOSE_COMMAND, Fault.CUT_COMMAND]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The witness, exported once."""
    require_redis()
    folder = tmp_path_factory.getbasetemp() / "witness-for-replicas"
    export_witness(folder)
    return folder


@pytest.fixture(scope="module")
def shared(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two services and their Redis."""
    with Pair(tmp_path_factory.mktemp("redis"), repository) as pair:
        yield pair


@pytest.fixture
def pair(shared: Pair) -> Iterator[Pair]:
    """The same, with nothing broken before and after."""
    yield shared
    shared.proxy.heal()
    await_store(shared.a)
    await_store(shared.b)


@pytest.fixture
def session(pair: Pair) -> PairSession:
    """A session that `a` has in memory, at position 1 and sum 3."""
    session = pair.open()
    assert session.step(pair.a, 3, position=0).place == (1, 3)
    return session


def await_store(live: Live) -> None:
    """Return once a service says that its store is there."""
    await_readiness(live, 200)
    # One blip does not show in its readiness: an answer does.
    end = time.monotonic() + PATIENCE_S
    while live.client.get("/v1/sessions/nobody").status_code != 404:
        assert time.monotonic() < end, "the store did not come back"


def await_readiness(live: Live, status: int) -> None:
    """Return once `/readyz` has this status."""
    end = time.monotonic() + PATIENCE_S
    while live.client.get("/readyz").status_code != status:
        assert time.monotonic() < end, f"/readyz never was {status}"


def unknown(reply: Reply) -> None:
    """Assert that a step's outcome is said to be unknown."""
    assert (reply.status, reply.document["code"]) == (503, "store_unavailable")
    assert reply.document["advanced"] == "unknown"


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("fault", DONE)
def test_a_lost_answer_is_found_by_the_retry(
    pair: Pair, session: PairSession, fault: Fault, elsewhere: bool
) -> None:
    """The write was applied: 503 unknown, and the retry, in the other encoding and on either
    service, is the recorded reply and no conflict.
    """
    pair.proxy.arm(fault)
    unknown(session.step(pair.a, 5, position=1))
    pair.proxy.wait_struck()
    again = session.raw(pair.b if elsewhere else pair.a, 5, position=1)
    assert again.replayed
    assert again.place == (2, 8)
    assert session.place(pair.a) == session.place(pair.b) == (2, 8)


@pytest.mark.parametrize("fault", NOT_DONE)
def test_a_write_that_never_came_is_made_by_the_retry(
    pair: Pair, session: PairSession, fault: Fault
) -> None:
    """503 unknown, and the retry runs, for the first time."""
    pair.proxy.arm(fault)
    unknown(session.step(pair.a, 5, position=1))
    assert session.place(pair.b) == (1, 3)
    again = session.step(pair.a, 5, position=1)
    assert not again.replayed
    assert again.place == (2, 8)
    assert session.place(pair.b) == (2, 8)


@pytest.mark.parametrize("fault", [*DONE, *NOT_DONE])
def test_nothing_is_sent_twice(pair: Pair, session: PairSession, fault: Fault) -> None:
    """A step that names no position is not repeated by the service: it counts once or not."""
    pair.proxy.arm(fault)
    unknown(session.step(pair.a, 5))
    expected = (2, 8) if fault in DONE else (1, 3)
    assert session.place(pair.a) == session.place(pair.b) == expected


def test_other_calls_can_be_sent_again(pair: Pair, session: PairSession) -> None:
    """Opened, forked or deleted without an answer, the session says so at the next try."""
    ids = [f"{session.id}-1", f"{session.id}-2"]
    opened = PairSession(f"{session.id}-3")

    # Of a script that Redis does not know nothing is run, and the answer that is lost says so.
    known = pair.open()
    assert known.send(pair.b, "DELETE").status == 204

    def fork() -> Reply:
        return session.send(pair.a, "POST", f"{session.path}/fork", session_ids=ids)

    def open_it() -> Reply:
        return opened.open(pair.a)

    def delete() -> Reply:
        return opened.send(pair.a, "DELETE")

    for send, again in ((fork, 409), (open_it, 409), (delete, 404)):
        pair.proxy.arm(Fault.LOSE_REPLY)
        assert send().status == 503
        assert send().status == again
    assert PairSession(f"{session.id}-2").place(pair.b) == (1, 3)


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.CUT_REPLY, Fault.CUT_COMMAND])
def test_a_read_that_breaks_can_be_made_again(
    pair: Pair, session: PairSession, fault: Fault
) -> None:
    """503 and nothing else happened."""
    pair.proxy.arm(fault, session.key)
    assert session.send(pair.a, "GET").status == 503
    assert session.place(pair.a) == (1, 3)


def test_idle_connections_that_end_cost_nothing(pair: Pair, session: PairSession) -> None:
    """Reset or ended while nothing was under way: the next step is answered."""
    for position, end in enumerate((pair.proxy.reset, pair.proxy.half_close) * 3, 1):
        end()
        assert session.step(pair.a, 1, position=position).place == (position + 1, position + 3)


def test_a_slow_way_to_redis_is_only_slow(pair: Pair, session: PairSession) -> None:
    """Every byte is delayed in both directions, and every answer right."""
    pair.proxy.slow(0.05)
    for position in range(1, 11):
        rows = session.step(pair.a, 1, position=position)
        assert rows.place == (position + 1, position + 3)
        assert session.raw(pair.b, 1, position=position).replayed


def test_while_an_answer_is_awaited_others_know_it(pair: Pair, session: PairSession) -> None:
    """The write is applied and Redis' answer does not come: another service has the recorded reply
    at once, and goes on; the one that waits says 503 unknown when its connection ends.
    """
    pair.proxy.arm(Fault.SILENCE, session.key)
    sent = session.begin(pair.a, 5, position=1)
    pair.proxy.wait_struck()
    assert session.step(pair.b, 5, position=1).replayed
    assert session.step(pair.b, 7, position=2).place == (3, 15)
    pair.proxy.reset()
    unknown(sent.reply())
    assert session.step(pair.a, 5, position=1).replayed
    assert session.step(pair.a, 1, position=3).place == (4, 16)


def test_a_redis_that_accepts_and_never_answers_is_away(pair: Pair, session: PairSession) -> None:
    """503 unknown and not ready; the other service goes on; when it answers again, so does this."""
    pair.proxy.blacken()
    sent = session.begin(pair.a, 5, position=1)
    assert session.step(pair.b, 7, position=1).place == (2, 10)
    await_readiness(pair.a, 503)
    assert pair.a.client.get("/livez").status_code == 200
    assert pair.b.client.get("/readyz").status_code == 200
    unknown(sent.reply())
    pair.proxy.heal()
    await_store(pair.a)
    late = session.step(pair.a, 5, position=1)
    assert (late.status, late.document["position"]) == (409, 2)
    assert session.step(pair.a, 5, position=2).place == (3, 15)


def restart_redis(pair: Pair, lost_bytes: int = 0) -> None:
    """kill -9, perhaps the loss of what came last, and a start on the same data."""
    pair.redis.kill()
    if lost_bytes:
        aof.cut_tail(pair.folder, lost_bytes)
    pair.redis.start()
    await_store(pair.a)
    await_store(pair.b)


def test_with_appendfsync_always_a_kill_loses_nothing(pair: Pair) -> None:
    """Every acknowledged step is there after kill -9, with its recorded reply."""
    with pair.redis.client() as client:
        client.config_set("appendfsync", "always")
    sessions = [pair.open() for _ in range(4)]
    for position in range(25):
        for number, session in enumerate(sessions):
            live = pair.a if (position + number) % 2 else pair.b
            assert session.step(live, 2, position=position).place == (
                position + 1,
                2 * position + 2,
            )
    restart_redis(pair)
    for session in sessions:
        assert session.place(pair.a) == session.place(pair.b) == (25, 50)
        assert session.raw(pair.a, 2, position=24).replayed
        assert session.step(pair.b, 2, position=25).place == (26, 52)


def test_what_redis_lost_is_said_and_never_papered_over(pair: Pair) -> None:
    """The end of the append-only file is gone: the services remember more than the store. Each
    session's next step, and the retry of one that was lost, is a conflict with the true position,
    and a client that goes on from there gets right sums.
    """
    sessions, lives = [pair.open() for _ in range(12)], (pair.a, pair.b)
    began, values = aof.size(pair.folder), [3, 1, 4, 1, 5, 9, 2, 6]
    for position, value in enumerate(values):
        for number, session in enumerate(sessions):
            assert session.step(lives[number % 2], value, position=position).status == 200
    restart_redis(pair, lost_bytes=(aof.size(pair.folder) - began) * 2 // 5)
    # Opening a session was its first write.
    truth = {each: count - 1 for each, count in aof.num_writes(pair.folder).items()}
    num_lost = 0
    for number, session in enumerate(sessions):
        live, other = lives[number % 2], lives[1 - number % 2]
        true = truth[session.id]
        num_lost += len(values) - true
        assert 0 < true < len(values)
        for each in (live, other):
            for position in (len(values), len(values) - 1):
                answer = session.step(each, values[-1], position=position)
                assert answer.document["code"] == "position_conflict"
                assert answer.document["position"] == true
        total = sum(values[:true])
        assert session.place(live) == session.place(other) == (true, total)
        assert session.step(live, 100, position=true).place == (true + 1, total + 100)
        assert session.step(other, 100, position=true).replayed
    assert num_lost > len(sessions)


def test_histories_are_those_of_one_session_whatever_breaks(
    repository: Path, tmp_path: Path
) -> None:
    """Connections to Redis suffer, Redis itself is killed twice, services sleep and die: service
    goes on by itself, and no answer is wrong.
    """
    plan = Plan(seed=6, seconds=6, max_pause_s=1.0, proxy=True, redis_kills=2)
    run = Run(plan, tmp_path, repository)
    asyncio.run(run.go(lambda line: None))
    tally = run.tally
    assert (tally.violations, tally.undecided) == (0, 0)
    assert tally.redis_kills > 0
    assert tally.faults > 0
    assert tally.unavailable > 0
    assert tally.checked > 0
