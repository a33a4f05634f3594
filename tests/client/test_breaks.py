"""The Python client over connections that break: no step is done twice, none is left out, and the
caller notices nothing.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from carousel_client import AsyncClient, Client
from carousel_client.errors import (
    ConnectionLost,
    PositionConflict,
    ReplyNotKept,
    SessionExists,
    SessionNotFound,
)
from tests.client.client_rig import F, Run, X, close, run_eager
from tests.harness.client import MODEL, numbers
from tests.harness.faulty_proxy import Fault, FaultyProxy
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S

if TYPE_CHECKING:
    from tests.harness.served import Served

LOST_REPLIES = (Fault.LOSE_REPLY, Fault.CUT_REPLY, Fault.HALF_CLOSE, Fault.SILENCE)
LOST_COMMANDS = (Fault.LOSE_COMMAND, Fault.CUT_COMMAND)


@pytest.fixture
def proxy(live: Live) -> Iterator[FaultyProxy]:
    """What stands between the client and the service."""
    with FaultyProxy(int(live.url.rpartition(":")[2])) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: FaultyProxy) -> Iterator[Client]:
    """A client that soon gives up on silence, and not on anything else."""
    with Client(f"http://127.0.0.1:{proxy.port}", timeout_s=2.0, retry_s=PATIENCE_S) as client:
        yield client


@pytest.fixture(scope="module")
def whole(served: "dict[str, Served]") -> Run:
    """The eager LSTM over X."""
    return run_eager(served)


@pytest.mark.parametrize("fault", [*LOST_REPLIES, *LOST_COMMANDS])
def test_a_step_that_is_lost_is_done_once(
    client: Client, proxy: FaultyProxy, whole: Run, fault: Fault
) -> None:
    """On its way there or back; a lost answer is answered again from the record."""
    with client.session(MODEL) as session:
        session.step(X[:5])
        proxy.arm(fault, b"/steps")
        found = session.step(X[5:12], return_state=True)
        assert proxy.num_struck == 1
        close(found.outputs, whole.output[5:12])
        assert (found.position, found.replayed) == (12, fault in LOST_REPLIES)
        close(session.step(X[12:]), whole.output[12:])
        close(session.state()["h"], whole.h)


@pytest.mark.parametrize("ahead", [8, 1])
@pytest.mark.parametrize("fault", [*LOST_REPLIES, *LOST_COMMANDS])
def test_frames_that_are_lost_are_done_once(
    client: Client, proxy: FaultyProxy, whole: Run, fault: Fault, ahead: int
) -> None:
    """In the middle of a stream, on their way there or back."""

    def source() -> Iterator[Any]:
        for index in range(24):
            if index == 11:
                proxy.arm(fault, b"")
            yield X[index : index + 1]

    with client.session(MODEL) as session:
        found = list(session.stream(source(), ahead=ahead))
        assert proxy.num_struck == 1
        close(np.concatenate(found), whole.output)
        close(session.state()["c"], whole.c)
        assert session.info().position == 24


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_COMMAND])
def test_a_session_is_opened_once(client: Client, proxy: FaultyProxy, fault: Fault) -> None:
    """With an id or without, with a state or without: a lost answer leaves no second session."""
    before = {each.session_id for each in client.sessions()}
    state = {"h": numbers(2, 20, seed=4), "c": numbers(2, 20, seed=5)}
    kinds: tuple[dict[str, Any], ...] = (
        {},
        {"session_id": "client-once"},
        {"state": state, "position": 7},
    )
    for options in kinds:
        proxy.arm(fault, b"POST /v1/sessions ")
        session = client.session(MODEL, **options)
        assert {each.session_id for each in client.sessions()} == before | {session.id}
        if "state" in options:
            np.testing.assert_array_equal(session.state()["h"], state["h"])
            assert session.position == 7
        session.step(X)
        session.delete()


def test_a_taken_id_is_not_mistaken(client: Client, proxy: FaultyProxy) -> None:
    """The answer that says so is lost; the second try does not hand out another's session."""
    with client.session(MODEL) as session:
        session.step(X)
        proxy.arm(Fault.LOSE_REPLY, b"POST /v1/sessions ")
        with pytest.raises(SessionExists):
            client.session(MODEL, session_id=session.id)
        assert proxy.num_struck == 1


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_COMMAND])
def test_every_other_call_is_done_once(
    client: Client, proxy: FaultyProxy, whole: Run, fault: Fault
) -> None:
    """Reads, writes, forks and deletions whose answer is lost are as if it was not."""
    with client.session(MODEL) as session:
        session.step(X[:9])
        proxy.arm(fault, b"/state")
        state = session.state()
        proxy.arm(fault, b"/fork")
        before = {each.session_id for each in client.sessions()}
        forks = session.forks(["client-fork-1", "client-fork-2"])
        after = {each.session_id for each in client.sessions()}
        assert after - before == {each.id for each in forks}
        close(forks[1].step(X[9:]), whole.output[9:])
        proxy.arm(fault, b"PUT ")
        assert forks[1].set_state(state, 9).position == 9
        proxy.arm(fault, b"/reset")
        assert forks[0].reset().position == 0
        for each in forks:
            proxy.arm(fault, b"DELETE ")
            each.delete()
        proxy.arm(fault, b"/infer")
        close(client.infer(MODEL, X), whole.output)
        assert proxy.num_struck == 7
        with pytest.raises(SessionNotFound):
            forks[0].delete()


def test_a_stream_that_cannot_be_ended_in_order_leaves_no_gap(
    client: Client, proxy: FaultyProxy, served: "dict[str, Served]"
) -> None:
    """Its connection broke with frames on their way: the next step asks how far they came."""
    with client.session(MODEL) as session:
        stream = session.stream(X[:12, None])
        next(stream)
        proxy.reset()
        stream.close()
        found = session.step(X[12:13])
        done = session.position - 1
        assert 1 <= done <= 9
        fed = np.concatenate([X[:done], X[12:13]])
        close(found, run_eager(served, fed).output[-1:])


class Stop(BaseException):
    """What a signal raises."""


def _until_black(proxy: FaultyProxy) -> Iterator[Any]:
    yield X[:1]
    proxy.blacken()
    yield X[1:2]
    raise Stop


def test_a_session_is_left_in_time_though_its_stream_hangs(live: Live, proxy: FaultyProxy) -> None:
    """`close` does not wait for outputs as long as a call may."""
    with Client(f"http://127.0.0.1:{proxy.port}", timeout_s=100.0) as client:
        session = client.session(MODEL)
        stream = session.stream(_until_black(proxy))
        with pytest.raises(Stop):
            next(stream)
        begin = time.monotonic()
        session.close()
        assert time.monotonic() - begin < 30


def test_a_session_is_left_in_time_in_asyncio(live: Live, proxy: FaultyProxy) -> None:
    """The same with the other client."""

    async def run() -> None:
        async with AsyncClient(f"http://127.0.0.1:{proxy.port}", timeout_s=100.0) as client:
            session = await client.session(MODEL)
            with pytest.raises(Stop):
                await anext(session.stream(_until_black(proxy)))
            async with asyncio.timeout(30):
                await session.aclose()

    asyncio.run(run())


def test_another_clients_step_is_not_taken_for_ours(
    client: Client, proxy: FaultyProxy, live: Live
) -> None:
    """A frame is lost on its way, and another client steps from the same position: a conflict, not
    that client's outputs.
    """
    with client.session(MODEL) as session, Client(live.url) as stranger:

        def source() -> Iterator[Any]:
            yield X[:1]
            stranger.attach(session.id).step(X[7:8])
            proxy.arm(Fault.LOSE_COMMAND, b"")
            yield X[1:2]

        stream = session.stream(source(), ahead=1)
        next(stream)
        with pytest.raises(PositionConflict) as caught:
            next(stream)
        assert proxy.num_struck == 1
        assert (caught.value.position, session.position) == (2, 1)


@pytest.fixture(scope="module")
def large(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service that takes steps whose answers are too large to be kept."""
    from tests.harness.durable import copy_models

    models = copy_models(repository, tmp_path_factory.mktemp("large"), MODEL)
    with Live(models, "--max-steps", "20000") as live:
        yield live


@pytest.mark.parametrize("way", ["step", "stream"])
def test_an_answer_too_large_to_keep_is_said(
    large: Live, served: "dict[str, Served]", way: str
) -> None:
    """The step was done and its answer is lost: the error says so, and the session goes on
    behind it.
    """
    x = numbers(15_001, F, seed=13)
    with (
        FaultyProxy(int(large.url.rpartition(":")[2])) as proxy,
        Client(f"http://127.0.0.1:{proxy.port}") as client,
        client.session(MODEL) as session,
    ):
        session.step(x[:1])

        def source() -> Iterator[Any]:
            yield x[1:2]
            proxy.arm(Fault.LOSE_REPLY, b"")
            yield x[2:15_000]

        if way == "step":
            session.step(x[1:2])
            proxy.arm(Fault.LOSE_REPLY, b"/steps")
        with pytest.raises(ReplyNotKept) as caught:
            session.step(x[2:15_000]) if way == "step" else list(session.stream(source(), ahead=1))
        assert caught.value.position == session.position == 15_000
        found = session.step(x[15_000:])
        close(found, run_eager(served, x).output[15_000:])


def test_the_time_for_retries_ends(live: Live) -> None:
    """A service that does not come back is an error, at once if no retry is wanted."""
    with FaultyProxy(int(live.url.rpartition(":")[2])) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        client = Client(url, retry_s=0.3)
        session = client.session(MODEL)
        session.step(X[:1])
    with client:
        with pytest.raises(ConnectionLost, match=url) as caught:
            session.step(X[1:])
        assert caught.value.after_loss
        with pytest.raises(ConnectionLost):
            list(session.stream([X[1:]]))
        assert session.position == 1
        session.close()
    with Client(live.url) as again, again.attach(session.id) as found:
        assert found.position == 1
        found.delete()
