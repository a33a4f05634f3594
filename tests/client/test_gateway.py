"""The Python clients behind a gateway that answers in words of its own, or not at all."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from carousel_client import AsyncClient, Client
from carousel_client.errors import (
    BadAnswer,
    CarouselError,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    SessionNotFound,
    Unauthorized,
    Unavailable,
)
from tests.client.client_rig import X
from tests.harness.client import MODEL
from tests.harness.gateway import Gateway, Said
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S


@pytest.fixture
def gateway(live: Live) -> Iterator[Gateway]:
    """What stands between the client and the service."""
    with Gateway(live.url) as gateway:
        yield gateway


@pytest.fixture
def client(gateway: Gateway) -> Iterator[Client]:
    """A client of the gateway."""
    with Client(gateway.url, retry_s=PATIENCE_S) as client:
        yield client


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_call_whose_answer_a_gateway_lost_is_done_once(
    client: Client, gateway: Gateway, status: int
) -> None:
    """The second try meets what the first one did, and takes it for its own."""
    before = {each.session_id for each in client.sessions()}
    gateway.lose(Said(status), "POST")
    session = client.session(MODEL)
    assert {each.session_id for each in client.sessions()} == before | {session.id}
    gateway.lose(Said(status), "POST")
    session.step(X[:5])
    assert session.info().position == 5
    gateway.lose(Said(status), "POST")
    fork = session.fork()
    assert {each.session_id for each in client.sessions()} == before | {session.id, fork.id}
    for each in (fork, session):
        gateway.lose(Said(status), "DELETE")
        each.delete()
    assert gateway.num_struck == 5
    assert {each.session_id for each in client.sessions()} == before
    with pytest.raises(SessionNotFound):
        session.delete()


def test_what_a_gateway_lost_last_is_not_known_to_be_undone(
    client: Client, gateway: Gateway
) -> None:
    """The error of the last try says that the session may have moved."""
    with client.session(MODEL) as session, Client(gateway.url, retry_s=0) as hasty:
        other = hasty.attach(session.id)
        gateway.lose(Said(504), "POST")
        with pytest.raises(Unavailable) as caught:
            other.step(X[:5])
        assert (caught.value.status, caught.value.advanced) == (504, "unknown")
        assert (other.position, session.info().position) == (0, 5)


CALLS: tuple[Callable[[Client, Any], Any], ...] = (
    lambda client, session: session.step(X[:1]),
    lambda client, session: session.info(),
    lambda client, session: session.state(),
    lambda client, session: session.reset(),
    lambda client, session: session.fork(),
    lambda client, session: client.session(MODEL),
    lambda client, session: client.models(),
    lambda client, session: client.model(MODEL),
    lambda client, session: client.sessions(),
    lambda client, session: client.infer(MODEL, X),
    lambda client, session: client.infer(MODEL, [X]),
    lambda client, session: client.attach("somebody"),
)

ODD = (
    b'{"ok": 1}',
    b"[]",
    b"null",
    b'{"models": [{"name": 3}], "sessions": [3], "outputs": 7, "next": null}',
    b'{"models": 3, "sessions": {"a": 1}, "outputs": [[{}]], "inputs": 3, "states": []}',
    b'{"session_id": "s", "model": "m", "version": 1, "position": "three", "created_at": 5}',
)


@pytest.mark.parametrize("body", ODD)
def test_an_answer_of_another_kind_is_said(client: Client, gateway: Gateway, body: bytes) -> None:
    """200 with JSON that is none of the service's is BadAnswer from every call."""
    with client.session(MODEL) as session:
        client.infer(MODEL, X)
        for call in CALLS:
            gateway.answer(Said(200, body, {"Content-Type": "application/json"}))
            with pytest.raises(BadAnswer):
                call(client, session)
        assert gateway.num_struck == len(CALLS)


def test_an_answer_that_holds_too_little_is_said(client: Client, gateway: Gateway) -> None:
    """Fewer copies or outputs than were asked for are BadAnswer."""
    with client.session(MODEL) as session:
        client.infer(MODEL, X)
        gateway.answer(Said(201, b'{"position": 0, "sessions": []}'))
        with pytest.raises(BadAnswer):
            session.fork()
        gateway.answer(Said(200, b'{"outputs": [], "states": []}'))
        with pytest.raises(BadAnswer):
            client.infer(MODEL, [X, X])


UNREADABLE = Said(200, b"zzz", {"Content-Encoding": "gzip"})


def test_an_answer_that_cannot_be_unpacked_is_said(client: Client, gateway: Gateway) -> None:
    """BadAnswer, not an error of the HTTP library."""

    async def run() -> None:
        async with AsyncClient(gateway.url) as other:
            gateway.answer(UNREADABLE)
            with pytest.raises(BadAnswer):
                await other.models()

    gateway.answer(UNREADABLE)
    with pytest.raises(BadAnswer):
        client.models()
    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (405, MethodNotAllowed),
        (413, PayloadTooLarge),
        (418, CarouselError),
        (429, RateLimited),
        (500, CarouselError),
    ],
)
def test_a_gateways_own_refusal_has_the_type_of_its_status(
    gateway: Gateway, status: int, kind: type[CarouselError]
) -> None:
    """And keeps the status and the words."""
    with Client(gateway.url, retry_s=0) as client:
        gateway.answer(Said(status, b"nginx says no"))
        with pytest.raises(kind, match="nginx says no") as caught:
            client.models()
        assert type(caught.value) is kind
        assert (caught.value.status, caught.value.code) == (status, kind.code)


def test_a_session_is_left_in_time_though_nobody_answers(live: Live) -> None:
    """`close` does not wait as long as a call may; the session's time to live ends it."""
    with Gateway(live.url) as gateway, Client(gateway.url, timeout_s=100.0) as client:
        session = client.session(MODEL)
        gateway.hang()
        begin = time.monotonic()
        session.close()
        assert time.monotonic() - begin < 20


def test_a_session_is_left_in_time_in_asyncio(live: Live) -> None:
    """The same with the other client."""

    async def run(gateway: Gateway) -> None:
        async with (
            AsyncClient(gateway.url, timeout_s=100.0) as client,
            asyncio.timeout(20),
            client.session(MODEL),
        ):
            gateway.hang()

    with Gateway(live.url) as gateway:
        asyncio.run(run(gateway))
