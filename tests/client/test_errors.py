"""What the Python client raises, against a service over a socket."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carousel_client import Client
from carousel_client.errors import (
    BadAnswer,
    CarouselError,
    InvalidRequest,
    ModelNotFound,
    NonFiniteInput,
    NotFound,
    NotStreamable,
    PositionConflict,
    SequenceTooLong,
    SessionExpired,
    ShapeMismatch,
    Unauthorized,
)
from tests.client.client_rig import F, X
from tests.harness.client import MODEL
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    """A client of the service, without a key."""
    with Client(live.url, retry_s=PATIENCE_S) as client:
        yield client


@pytest.mark.parametrize(
    ("inputs", "kind", "words"),
    [
        (X[0], ShapeMismatch, r"x\[None\]"),
        (X[:, :9], ShapeMismatch, r"expected \(time, 10\)"),
        (np.full((1, F), np.nan, np.float32), NonFiniteInput, "non_finite_input"),
        (np.full((1, F), 1e39), NonFiniteInput, "non_finite_input"),
        (np.zeros((10_001, F), np.float32), SequenceTooLong, "10000"),
        ([["a"] * F], InvalidRequest, "expected numbers"),
        ([[1.0], [1.0, 2.0]], InvalidRequest, "no array"),
        (np.zeros((1, F), complex), InvalidRequest, "complex128"),
        ({"other": X}, InvalidRequest, "expected input"),
    ],
)
def test_wrong_inputs_are_refused_and_move_nothing(
    client: Client, inputs: Any, kind: type[CarouselError], words: str
) -> None:
    """The same typed error from a step and from a stream, and the session goes on."""
    with client.session(MODEL) as session:
        with pytest.raises(kind, match=words):
            session.step(inputs)
        with pytest.raises(kind, match=words):
            list(session.stream([inputs]))
        assert session.position == 0
        assert session.step(X).shape == (24, 20)


def test_errors_are_those_of_the_server(client: Client, live: Live) -> None:
    """By type, with status, code, detail and what else the server says."""
    with pytest.raises(ModelNotFound) as missing:
        client.infer("nobody", X)
    assert (missing.value.status, missing.value.code) == (404, "model_not_found")
    assert "nobody" in missing.value.detail
    assert "model_not_found" in str(missing.value)
    with pytest.raises(ModelNotFound):
        client.model(MODEL, version=77)
    with pytest.raises(NotStreamable) as whole_only:
        client.session("bilstm-10-20-2")
    assert whole_only.value.fields["reason"]
    with pytest.raises(InvalidRequest) as reserved:
        client.session(MODEL, session_id="v2.mine")
    assert "v2." in reserved.value.detail
    with pytest.raises(NotFound):
        client.attach("../models")
    with Client(f"{live.url}/nowhere", retry_s=0) as wrong, pytest.raises(NotFound):
        wrong.models()


def test_another_clients_step_is_a_conflict(client: Client) -> None:
    """The error says where the session stands; `info` adopts that, and the session goes on."""
    with client.session(MODEL) as session:
        client.attach(session.id).step(X[:3])
        with pytest.raises(PositionConflict) as caught:
            session.step(X[:1])
        assert caught.value.position == 3
        assert session.position == 0
        with pytest.raises(PositionConflict):
            list(session.stream([X[:1]]))
        session.info()
        assert session.position == 3
        session.step(X[3:])
        assert session.position == 24


def test_an_expired_session_says_so(client: Client) -> None:
    """SessionExpired from every call; the id is free."""
    session = client.session(MODEL, session_id="client-expires", ttl_s=1)
    with suppress(SessionExpired):
        # It ends by itself: looking at a session does not keep it.
        while client.attach("client-expires"):
            pass
    with pytest.raises(SessionExpired) as caught:
        session.info()
    assert caught.value.status == 410
    with pytest.raises(SessionExpired):
        session.step(X)
    with pytest.raises(SessionExpired):
        list(session.stream([X]))
    client.session(MODEL, session_id="client-expires").delete()


def test_the_key_is_sent(repository: Path) -> None:
    """With steps and with streams; a wrong one is refused at once."""
    key = "correct-horse-battery"
    with (
        Live(repository, env={"CAROUSEL_API_KEY": key}) as live,
        Client(live.url, key) as client,
        client.session(MODEL) as session,
    ):
        session.step(X[:1])
        (y,) = session.stream([X[1:]])
        assert y.shape == (23, 20)
        assert key not in repr(client)
        with Client(live.url, "wrong-horse-battery") as wrong:
            with pytest.raises(Unauthorized) as caught:
                wrong.attach(session.id)
            assert caught.value.status == 401


def test_an_address_that_cannot_be_one_is_refused() -> None:
    """At once, in words."""
    for url in ("127.0.0.1:8000", "ftp://host", "http://", "", "http://h:99999", "http://h:x"):
        with pytest.raises(ValueError, match="expected http"):
            Client(url)
    for url in ("http://h/?a=1", "http://h/#a", "http://a b", "http://a\nb", "http://a..b"):
        with pytest.raises(ValueError, match="expected http"):
            Client(url)
    for url in ("http://..", f"http://{'a' * 64}", "http://[::1", "http://h:0"):
        with pytest.raises(ValueError, match="expected http"):
            Client(url)
    for url in ("http://[::1]:8000", "https://h.example./carousel/", "http://127.0.0.1"):
        Client(url).close()


def test_what_is_no_such_server_is_said(live: Live) -> None:
    """An answer that is not of this protocol is an error of its own."""
    with Client(f"{live.url}/docs?", retry_s=0) as wrong, pytest.raises(BadAnswer):
        wrong.models()
