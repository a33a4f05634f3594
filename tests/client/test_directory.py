"""Sessions by their ids, as the Python client lists, shows, reads, writes and deletes them."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from carousel_client import AsyncClient, Client
from carousel_client.errors import (
    BadAnswer,
    CarouselError,
    ConnectionLost,
    PreconditionFailed,
    SessionNotFound,
    ShapeMismatch,
    Unavailable,
)
from carousel_client.session_state import SessionState
from tests.client.client_rig import X
from tests.client.client_script import answer_of, problem_of, scripted
from tests.harness.client import MODEL, numbers
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S

GRU = "gru-10-20-2"
ARRAYS = {"h": numbers(2, 20, seed=1), "c": numbers(2, 20, seed=2)}
STATE = SessionState.of(ARRAYS, 41)
INFO = {
    "session_id": "s",
    "model": "m",
    "version": 1,
    "position": 41,
    **dict.fromkeys(("created_at", "last_used_at", "expires_at"), "2026-01-01T00:00:00.000Z"),
    "state_bytes": 320,
}
CLOSE = "Connection: close\r\n"


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    """A client of a service without sessions; none are left."""
    with Client(live.url, retry_s=PATIENCE_S) as client:
        yield client
        for each in client.sessions():
            client.delete_session(each.session_id)


def said(status: int = 200, **more: Any) -> bytes:
    """An answer in JSON, the last on its connection."""
    return answer_of(status, json.dumps(INFO | more).encode(), more=CLOSE)


def state_of(state: SessionState) -> bytes:
    """A state as a server sends it."""
    more = f"Carousel-Position: {state.position}\r\n{CLOSE}"
    return answer_of(200, state.content, "application/x-safetensors", more)


def test_pages_follow_one_another(client: Client) -> None:
    """In order of id; the last says so, and all together are the list."""
    for name in ("d", "b", "a", "c"):
        client.session(MODEL if name != "b" else GRU, session_id=name)
    first = client.sessions_page(limit=3)
    assert ([each.session_id for each in first.sessions], first.next) == (["a", "b", "c"], "c")
    last = client.sessions_page(after=first.next)
    assert ([each.session_id for each in last.sessions], last.next) == (["d"], None)
    assert [*first.sessions, *last.sessions] == client.sessions()
    (gru,) = client.sessions_page(GRU).sessions
    assert gru == client.session_info("b")
    assert (gru.model, gru.position, gru.state_bytes) == (GRU, 0, 160)
    assert gru.state_id


def test_a_state_goes_elsewhere_to_the_bit(client: Client) -> None:
    """With its position, as bytes and as arrays."""
    with client.session(MODEL) as session:
        session.step(X[:5])
        read = client.session_state(session.id)
        arrays = session.state()
    assert read.position == 5
    assert read.arrays().keys() == arrays.keys()
    for name, each in arrays.items():
        assert read.arrays()[name].tobytes() == each.tobytes()
        assert load(read.content)[f"state.{name}"].tobytes() == each.tobytes()
    other = client.session(MODEL, session_id="other")
    assert client.set_session_state("other", read).position == 5
    again = client.session_state("other")
    assert (again.content, again.position) == (read.content, 5)
    assert client.set_session_state("other", STATE) == other.info()
    assert other.position == 41
    assert client.session_state("other").arrays()["h"].tobytes() == ARRAYS["h"].tobytes()


def test_a_state_is_judged_by_the_server(client: Client) -> None:
    """Nothing is cast on the way, so that what is of another dtype is refused."""
    client.session(MODEL, session_id="s")
    double = SessionState.of({name: each.astype(np.float64) for name, each in ARRAYS.items()}, 3)
    with pytest.raises(ShapeMismatch, match="float64"):
        client.set_session_state("s", double)
    assert client.session_info("s").position == 0


def test_an_etag_lets_through_what_was_read(client: Client) -> None:
    """A write or a deletion of what has moved on since is refused, and nothing moves."""
    session = client.session(MODEL, session_id="s")
    old = client.session_state("s")
    session.step(X[:3])
    with pytest.raises(PreconditionFailed):
        client.set_session_state("s", STATE, if_match=old.etag)
    with pytest.raises(PreconditionFailed):
        client.delete_session("s", if_match=old.etag)
    assert client.session_info("s").position == 3
    client.set_session_state("s", STATE, if_match=client.session_state("s").etag)
    client.delete_session("s", if_match=client.session_state("s").etag)
    assert client.sessions() == []


def test_what_is_not_there_is_said(client: Client) -> None:
    """By every call; and no id leads elsewhere."""
    for name in ("none", "a/../b", "%2e%2e", "?limit=1"):
        for call in (client.session_info, client.session_state, client.delete_session):
            with pytest.raises(CarouselError) as caught:
                call(name)
            assert caught.value.status in (404, 422)
    with pytest.raises(SessionNotFound):
        client.set_session_state("none", STATE)


def test_nothing_else_is_asked_for() -> None:
    """Neither the model's description nor the session itself."""
    with scripted([said(), state_of(STATE)]) as (url, seen), Client(url) as client:
        assert client.session_info("s").state_id is None
        assert client.session_state("s").etag is None
    assert [each.split(b" ")[1] for each in seen] == [b"/v1/sessions/s", b"/v1/sessions/s/state"]


def test_a_write_whose_answer_was_lost_is_known_again() -> None:
    """The second attempt finds the revision gone: by the first one, where the state is there."""
    gone = problem_of(412, "precondition_failed")
    answers = [b"", gone, state_of(STATE), said()]
    with scripted(answers) as (url, seen), Client(url, retry_s=PATIENCE_S) as client:
        assert client.set_session_state("s", STATE, if_match='"a"').position == 41
    assert seen[0] == seen[1]
    assert b'If-Match: "a"\r\n' in seen[0]
    others = SessionState.of(ARRAYS, 40), SessionState.of({**ARRAYS, "h": ARRAYS["c"]}, 41)
    for other in others:
        answers = [b"", gone, state_of(other)]
        with scripted(answers) as (url, _), Client(url, retry_s=PATIENCE_S) as client:
            with pytest.raises(PreconditionFailed) as caught:
                client.set_session_state("s", STATE, if_match='"a"')
            assert caught.value.after_loss
    with scripted([gone]) as (url, _), Client(url) as client, pytest.raises(PreconditionFailed):
        client.set_session_state("s", STATE, if_match='"a"')


def test_a_deletion_whose_answer_was_lost_is_done() -> None:
    """The session that the second attempt does not find was there for the first."""
    missing = problem_of(404, "session_not_found")
    with scripted([b"", missing]) as (url, _), Client(url, retry_s=PATIENCE_S) as client:
        client.delete_session("s")
    with scripted([missing]) as (url, _), Client(url) as client, pytest.raises(SessionNotFound):
        client.delete_session("s")


@pytest.mark.parametrize(
    "page",
    [
        {"sessions": [INFO], "next": 5},
        {"sessions": [INFO], "next": "a"},
        {"sessions": [INFO | {"expires_at": "2026-01-01T00:00:00"}], "next": None},
        {"sessions": [INFO | {"expires_at": "soon"}], "next": None},
        {"sessions": [INFO | {"state_id": 7}], "next": None},
        {"sessions": []},
        [],
    ],
)
def test_a_page_that_is_none(page: Any) -> None:
    """One that leads to itself, members that cannot be: this is no Carousel."""
    answer = answer_of(200, json.dumps(page).encode(), more=CLOSE)
    with scripted([answer]) as (url, _), Client(url) as client, pytest.raises(BadAnswer) as caught:
        client.sessions_page(after="a")
    assert caught.value.is_foreign


@pytest.mark.parametrize(
    "answer",
    [
        answer_of(200, STATE.content, "application/json", "Carousel-Position: 1\r\n"),
        answer_of(200, STATE.content, "application/x-safetensors"),
        answer_of(200, b'{"sessions": ' + b"[" * 100_000),
    ],
)
def test_a_state_that_is_none(answer: bytes) -> None:
    """Of another type, or without a position."""
    with scripted([answer]) as (url, _), Client(url) as client, pytest.raises(BadAnswer):
        client.session_state("s")


def test_json_without_end_is_no_answer() -> None:
    """However deep it goes."""
    for answer in (answer_of(200, b"[" * 100_000), answer_of(500, b"[" * 100_000)):
        with scripted([answer]) as (url, _), Client(url) as client:
            with pytest.raises(CarouselError) as caught:
                client.session_info("s")
            assert caught.value.is_foreign


def test_a_state_that_is_no_safetensors_has_no_arrays() -> None:
    """It is told when they are asked for."""
    with pytest.raises(BadAnswer):
        SessionState(b"x" * 20, 0).arrays()


def test_whose_answer_it_is_stands_in_the_error() -> None:
    """A proxy's words, and those of a service."""
    proxy = answer_of(503, b"<h1>none</h1>", "text/html")
    for answer, is_foreign in ((proxy, True), (problem_of(503, "draining"), False)):
        with scripted([answer]) as (url, _), Client(url, retry_s=0) as client:
            with pytest.raises(Unavailable) as caught:
                client.session_info("s")
            assert caught.value.is_foreign is is_foreign
    with scripted([b""]) as (url, _), Client(url, retry_s=0) as client:
        with pytest.raises(ConnectionLost) as lost:
            client.session_info("s")
        assert not lost.value.is_foreign
        assert not lost.value.timed_out


def test_the_asynchronous_client_has_the_same_calls(live: Live) -> None:
    """On asyncio's loop."""

    async def run() -> None:
        async with AsyncClient(f"{live.url}/", retry_s=PATIENCE_S) as client:
            assert client.url == live.url
            await client.session(MODEL, session_id="s")
            await client.set_session_state("s", STATE)
            assert (await client.session_info("s")).position == 41
            read = await client.session_state("s")
            assert read.arrays()["h"].tobytes() == ARRAYS["h"].tobytes()
            page = await client.sessions_page(MODEL, limit=1)
            assert page.sessions == await client.sessions()
            await client.set_session_state("s", STATE, if_match=read.etag)
            with pytest.raises(PreconditionFailed):
                await client.delete_session("s", if_match=read.etag)
            await client.delete_session("s")
            assert await client.sessions() == []

    asyncio.run(run())
