"""WebSocket streams as a client sees them, over a real socket."""

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.harness.client import MODEL
from tests.harness.live import Live
from tests.harness.served import run_lstm

if TYPE_CHECKING:
    from tests.harness.served import Served
from tests.harness.streaming import F, inputs, open_session, position, receive, receive_raw, stream


def test_a_stream_equals_the_whole_sequence(live: Live, served: "dict[str, Served]") -> None:
    """Text and binary frames of one and several steps: together one run of the module."""
    x = inputs(9)
    expected, _, _ = run_lstm(served[MODEL].module, x)
    with stream(live, f"/v1/models/{MODEL}/stream") as (ws, hello):
        assert {"session_id", "model", "version", "position"} == hello.keys()
        assert (hello["model"], hello["position"]) == (MODEL, 0)
        ws.send(x[:1].tobytes())
        np.testing.assert_allclose(receive_raw(ws), expected[:1], atol=1e-5)
        ws.send(json.dumps({"inputs": x[1:4].tolist()}))
        reply = receive(ws)
        assert reply.keys() == {"outputs", "position"}
        assert reply["position"] == 4
        np.testing.assert_allclose(reply["outputs"], expected[1:4], atol=1e-5)
        ws.send(x[4:].tobytes())
        np.testing.assert_allclose(receive_raw(ws), expected[4:], atol=1e-5)


def test_frames_may_be_sent_ahead(live: Live, served: "dict[str, Served]") -> None:
    """Forty frames without waiting: every reply, in order."""
    x = inputs(40, seed=1)
    expected, _, _ = run_lstm(served[MODEL].module, x)
    with stream(live, f"/v1/models/{MODEL}/stream") as (ws, _):
        for row in x:
            ws.send(row.tobytes())
        found = np.concatenate([receive_raw(ws) for _ in x])
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_state_and_looks_are_as_over_http(live: Live, served: "dict[str, Served]") -> None:
    """return_state brings the state along; commit=false moves nothing, nor the implied position."""
    x = inputs(3, seed=2)
    expected, h, c = run_lstm(served[MODEL].module, x)
    session_id = open_session(live)
    with stream(live, f"/v1/sessions/{session_id}/stream") as (ws, _):
        ws.send(json.dumps({"inputs": x.tolist(), "commit": False, "return_state": True}))
        look = receive(ws)
        ws.send(json.dumps({"inputs": x.tolist(), "return_state": True}))
        step = receive(ws)
        assert look == step
        np.testing.assert_allclose(step["outputs"], expected, atol=1e-5)
        np.testing.assert_allclose(step["state"]["h"], h, atol=1e-5)
        np.testing.assert_allclose(step["state"]["c"], c, atol=1e-5)
    assert position(live, session_id) == 3


def test_a_refused_frame_holds_those_behind_it(live: Live) -> None:
    """Until one names its position, or a message says where to go on: nothing is stepped."""
    x = inputs(1)
    session_id = open_session(live)
    with stream(live, f"/v1/sessions/{session_id}/stream") as (ws, _):
        ws.send(x.tobytes())
        receive_raw(ws)
        ws.send(x.tobytes()[:-4])
        for _ in range(3):
            ws.send(x.tobytes())
        errors = [receive(ws)["error"] for _ in range(4)]
        assert {each["code"] for each in errors} == {"shape_mismatch"}
        assert {(each["position"], each["advanced"]) for each in errors} == {(1, False)}
        ws.send(json.dumps({"position": 1}))
        assert receive(ws) == {"position": 1}
        ws.send(x.tobytes())
        receive_raw(ws)
        ws.send(json.dumps({"inputs": x.tolist(), "position": 7}))
        error = receive(ws)["error"]
        assert (error["code"], error["position"]) == ("position_conflict", 2)
        ws.send(json.dumps({"inputs": x.tolist(), "position": 2}))
        assert receive(ws)["position"] == 3
    assert position(live, session_id) == 3


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("{", "malformed"),
        ("[1]", "invalid_request"),
        ("{}", "invalid_request"),
        (json.dumps({"inputs": [[0] * F], "color": 1}), "invalid_request"),
        ('{"inputs": [[0]]}', "shape_mismatch"),
        ('{"position": -1}', "invalid_request"),
        ('{"position": 0, "commit": true}', "invalid_request"),
        (b"", "shape_mismatch"),
        (b"\0\0\xc0\x7f" * F, "non_finite_input"),
    ],
)
def test_a_wrong_frame_is_answered_and_the_stream_goes_on(
    live: Live, frame: str | bytes, code: str
) -> None:
    """An error in text; the connection stays."""
    with stream(live, f"/v1/models/{MODEL}/stream") as (ws, _):
        ws.send(frame)
        assert receive(ws)["error"]["code"] == code
        ws.send(json.dumps({"inputs": inputs(1).tolist(), "position": 0}))
        assert receive(ws)["position"] == 1


def test_recorded_replies_come_again(live: Live) -> None:
    """`?position=`: what was recorded after it, in order, in the encoding asked for."""
    x = inputs(6, seed=3)
    session_id = open_session(live)
    path = f"/v1/sessions/{session_id}/stream"
    with stream(live, path) as (ws, _):
        for begin in (0, 1, 3):
            ws.send(x[begin : 2 * begin + 1].tobytes() if begin else x[:1].tobytes())
        first = [receive_raw(ws) for _ in range(3)]
    assert [len(each) for each in first] == [1, 2, 3]
    with stream(live, f"{path}?position=1") as (ws, hello):
        assert hello["position"] == 6
        again = [receive(ws), receive(ws)]
        assert [(each["position"], each["replayed"]) for each in again] == [(3, True), (6, True)]
        np.testing.assert_array_equal(np.float32(again[1]["outputs"]), first[2])
        ws.send(x[:1].tobytes())
        receive_raw(ws)
    with stream(live, f"{path}?position=3&replies=binary") as (ws, hello):
        assert hello["position"] == 7
        np.testing.assert_array_equal(receive_raw(ws), first[2])
        assert len(receive_raw(ws)) == 1


@pytest.mark.parametrize(("at", "code"), [(2, "reply_not_kept"), (9, "position_conflict")])
def test_a_position_that_cannot_be_resumed_is_said(live: Live, at: int, code: str) -> None:
    """Inside a step, or beyond the session: one error, and the stream goes on from the session's
    position.
    """
    session_id = open_session(live)
    path = f"/v1/sessions/{session_id}/stream"
    with stream(live, path) as (ws, _):
        ws.send(inputs(1).tobytes())
        ws.send(inputs(3).tobytes())
        receive_raw(ws), receive_raw(ws)
    with stream(live, f"{path}?position={at}") as (ws, _):
        error = receive(ws)["error"]
        assert (error["code"], error["position"]) == (code, 4)
        ws.send(inputs(1).tobytes())
        assert len(receive_raw(ws)) == 1
    assert position(live, session_id) == 5


def test_streams_share_batches(live: Live) -> None:
    """Frames of many connections run together."""

    def metric(name: str) -> float:
        lines = live.client.get("/metrics").text.splitlines()
        prefix = f'carousel_model_{name}_total{{model="{MODEL}",version="1"}} '
        return float(next(each for each in lines if each.startswith(prefix)).split()[-1])

    before = metric("rows"), metric("batches")
    with (
        stream(live, f"/v1/models/{MODEL}/stream") as (a, _),
        stream(live, f"/v1/models/{MODEL}/stream") as (b, _),
        stream(live, f"/v1/models/{MODEL}/stream") as (c, _),
    ):
        for _ in range(50):
            for ws in (a, b, c):
                ws.send(inputs(1).tobytes())
        for ws in (a, b, c):
            for _ in range(50):
                receive_raw(ws)
    num_rows, num_batches = metric("rows") - before[0], metric("batches") - before[1]
    assert num_rows == 150
    assert num_batches < 150


def test_frames_of_another_dtype_are_refused_at_the_start(live: Live) -> None:
    """Where the client says what it will send: eight-byte floats would be read as two of four."""
    session_id = open_session(live)
    path = f"/v1/sessions/{session_id}/stream"
    with stream(live, f"{path}?dtype=float64") as (_, said):
        assert said["error"]["code"] == "shape_mismatch"
    with stream(live, f"{path}?dtype=float32") as (ws, hello):
        assert hello["position"] == 0
        ws.send(inputs(1).tobytes())
        receive_raw(ws)
