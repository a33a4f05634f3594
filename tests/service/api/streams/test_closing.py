"""How streams end, as a client sees it, over a real socket."""

import base64
import signal
from pathlib import Path

import pytest

from tests.harness.client import MODEL
from tests.harness.live import Live
from tests.harness.streaming import (
    closed,
    inputs,
    open_session,
    position,
    receive,
    receive_raw,
    stream,
)


def test_a_newer_stream_takes_the_session_over(live: Live) -> None:
    """The older is closed 4409; the newer goes on where the session stands."""
    session_id = open_session(live)
    path = f"/v1/sessions/{session_id}/stream"
    with stream(live, path) as (older, _):
        older.send(inputs(1).tobytes())
        receive_raw(older)
        with stream(live, path) as (newer, hello):
            assert hello["position"] == 1
            assert closed(older) == 4409
            newer.send(inputs(1).tobytes())
            receive_raw(newer)
    assert position(live, session_id) == 2


@pytest.mark.parametrize(("code", "left"), [(1000, False), (1001, False), (1011, True)])
def test_a_models_session_ends_with_its_stream(live: Live, code: int, left: bool) -> None:
    """Closed by the client with 1000 or 1001 it is deleted; after any other end it can be
    continued.
    """
    with stream(live, f"/v1/models/{MODEL}/stream") as (ws, hello):
        ws.send(inputs(1).tobytes())
        receive_raw(ws)
        ws.close(code)
    path = f"/v1/sessions/{hello['session_id']}"
    live.client.get("/livez")
    assert (live.client.get(path).status_code == 200) is left
    if left:
        with stream(live, path + "/stream") as (ws, again):
            assert again["position"] == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/sessions/nobody/stream", 4404),
        ("/v1/models/nobody/stream", 4404),
        ("/v1/models/bilstm-10-20-2/stream", 4400),
        (f"/v1/models/{MODEL}/stream?version=77", 4404),
        (f"/v1/models/{MODEL}/stream?position=1", 4400),
        (f"/v1/models/{MODEL}/stream?ttl_s=1e99", 4400),
    ],
)
def test_what_cannot_be_streamed_is_said_and_closed(live: Live, path: str, code: int) -> None:
    """An error in text, then the close code: the handshake itself succeeds, so browsers see it."""
    with stream(live, path) as (ws, first):
        assert "detail" in first["error"]
        assert closed(ws) == code


def test_a_deleted_session_ends_its_stream(live: Live) -> None:
    """The next frame is answered, and the stream closed 4404."""
    session_id = open_session(live)
    with stream(live, f"/v1/sessions/{session_id}/stream") as (ws, _):
        assert live.client.delete(f"/v1/sessions/{session_id}").status_code == 204
        ws.send(inputs(1).tobytes())
        assert receive(ws)["error"]["code"] == "session_not_found"
        assert closed(ws) == 4404


def test_the_key_may_come_as_a_subprotocol(repository: Path) -> None:
    """For browsers, which set no headers; a wrong one or none is closed 4401."""
    key = "correct-horse-battery"
    text = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    path = f"/v1/models/{MODEL}/stream"
    with Live(repository, env={"CAROUSEL_API_KEY": key}) as live:
        offered = ["carousel.v1", f"bearer.{text}"]
        with stream(live, path, subprotocols=offered) as (ws, hello):
            assert ws.subprotocol == "carousel.v1"
            assert hello["position"] == 0
        headers = {"Authorization": f"Bearer {key}"}
        with stream(live, path, additional_headers=headers) as (_, hello):
            assert hello["position"] == 0
        for wrong in (["carousel.v1"], ["carousel.v1", "bearer.d3Jvbmc"], None):
            with stream(live, path, subprotocols=wrong) as (ws, first):
                assert first["error"]["code"] == "unauthorized"
                assert closed(ws) == 4401


def test_a_message_too_large_is_closed(repository: Path) -> None:
    """1009, whole or in pieces; the service goes on."""
    path = f"/v1/models/{MODEL}/stream"
    with Live(repository, "--max-body-bytes", "1000") as live:
        with stream(live, path) as (ws, _):
            ws.send(bytes(1001))
            assert closed(ws) == 1009
        with stream(live, path) as (ws, _):
            ws.send([bytes(600), bytes(600)])
            assert closed(ws) == 1009
        with stream(live, path) as (ws, _):
            ws.send([inputs(1).tobytes()[:7], inputs(1).tobytes()[7:]])
            receive_raw(ws)


def test_streams_are_answered_and_closed_at_a_drain(repository: Path) -> None:
    """Every frame that was accepted is answered, then 1012; the session lives on."""
    x = inputs(5000, seed=4)
    with Live(repository) as live:
        path = f"/v1/models/{MODEL}/stream"
        with stream(live, path) as (idle, _), stream(live, path) as (ws, _):
            ws.send(x.tobytes())
            ws.send(x[:1].tobytes())
            live.client.get("/livez")
            live.signal(signal.SIGTERM)
            assert len(receive_raw(ws)) == 5000
            assert closed(ws) == 1012
            assert closed(idle) == 1012
        assert live.wait() == 0
