"""Calls that manage sessions, and bulk, with bad input: named, and nothing changed."""

from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from tests.harness.client import MODEL, RAW, TENSORS, ZERO, Client, refused
from tests.harness.live import Live

ROW = [0.5] * 10

BAD_OPEN: list[tuple[Any, int, str, str]] = [
    ({}, 422, "invalid_request", "model: nothing given"),
    ({"model": 5}, 422, "invalid_request", "model: a number given"),
    ({"model": "none"}, 404, "model_not_found", "'none'"),
    ({"model": MODEL, "version": 9}, 404, "model_not_found", "the versions [1]"),
    ({"model": MODEL, "version": "1"}, 422, "invalid_request", "version: a string given"),
    ({"model": MODEL, "version": True}, 422, "invalid_request", "version: a boolean given"),
    ({"model": MODEL, "ttl": 5}, 422, "invalid_request", "ttl: unknown field given"),
    ({"model": MODEL, "ttl_s": 0.5}, 422, "invalid_request", "ttl_s: a number given"),
    ({"model": MODEL, "ttl_s": 30 * 86400 + 1}, 422, "invalid_request", "ttl_s: 2592001 given"),
    ({"model": MODEL, "position": -1}, 422, "invalid_request", "position: a number given"),
    ({"model": MODEL, "position": True}, 422, "invalid_request", "position: a boolean given"),
    ({"model": MODEL, "session_id": ""}, 422, "invalid_request", "session_id: a string given"),
    ({"model": MODEL, "session_id": "a/b"}, 422, "invalid_request", "session_id: a string given"),
    ({"model": MODEL, "session_id": "a\n"}, 422, "invalid_request", "session_id: a string given"),
    ({"model": MODEL, "session_id": "x" * 129}, 422, "invalid_request", "session_id: a string"),
    ({"model": MODEL, "session_id": "v2.mine"}, 422, "invalid_request", "are the server's"),
    ({"model": MODEL, "state": {"h": ZERO["h"]}}, 422, "invalid_request", "state.c: nothing given"),
    ({"model": MODEL, "state": ZERO | {"h": [[1]]}}, 422, "shape_mismatch", "state.h: a list of 1"),
    ({"model": MODEL, "state": ZERO | {"x": 1}}, 422, "invalid_request", "state.x: no such state"),
    ({"model": MODEL, "state": []}, 422, "invalid_request", "state: a list of 0 given"),
]


@pytest.mark.parametrize(("body", "status", "code", "detail"), BAD_OPEN)
def test_bad_open(live: Live, body: Any, status: int, code: str, detail: str) -> None:
    """A session that cannot be opened as asked is not opened."""
    answer = live.client.post("/v1/sessions", json=body)
    assert detail in refused(answer, status, code)["detail"]
    assert live.client.get("/v1/sessions").json()["sessions"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "detail"),
    [
        ("POST", "fork", {"count": 0}, "count: a number given"),
        ("POST", "fork", {"count": 1001}, "count: a number given"),
        ("POST", "fork", {"count": 2, "session_ids": ["a"]}, "count: given together"),
        ("POST", "fork", {"session_ids": []}, "session_ids: a list of 0 given"),
        ("POST", "fork", {"session_ids": ["a", "a"]}, "session_ids: 'a' given twice"),
        ("POST", "fork", {"session_ids": ["a", "v2.b"]}, "session_ids[1]: 'v2.b' given"),
        ("POST", "fork", {"session_ids": ["?"]}, "session_ids.0: a string given"),
        ("POST", "fork", {"ttl_s": 1e9}, "ttl_s: 1000000000 given"),
        ("POST", "reset", {"position": 0}, "position: unknown field given"),
        ("PUT", "state", {"state": ZERO}, "position: nothing given"),
        ("PUT", "state", {"position": 0}, "state: nothing given"),
        ("PUT", "state", {"state": ZERO, "position": 0.5}, "position: a number given"),
        ("PUT", "state", {"state": {"h": 1}, "position": 0}, "state.c: nothing given"),
    ],
)
def test_bad_management(session: Client, method: str, path: str, body: Any, detail: str) -> None:
    """Calls that manage a session name the field at fault and change nothing."""
    answer = session.http.request(method, f"{session.path}/{path}", json=body)
    assert detail in refused(answer, 422, "invalid_request")["detail"]
    assert session.position == 0


def test_bad_state_bytes(session: Client) -> None:
    """A state in safetensors needs its position, and raw bytes are no state."""
    path, body = f"{session.path}/state", save({"state.h": np.zeros((2, 20), "<f4")})
    refused(session.http.put(path, content=body, headers=TENSORS), 422, "invalid_request")
    refused(session.http.put(path, content=bytes(8), headers=RAW), 415, "unsupported_media_type")
    accept = {"Accept": "application/octet-stream"}
    refused(session.http.get(path, headers=accept), 406, "not_acceptable")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"steps": []}, "steps: a list of 0 given"),
        ({"steps": [5]}, "steps[0]: a number given; expected an object"),
        ({"steps": [{"inputs": [ROW]}]}, "steps[0].session_id: nothing given"),
        ({"steps": [{"session_id": 1, "inputs": [ROW]}]}, "steps[0].session_id: a number given"),
        ({"steps": [{"session_id": "a"}]}, "steps[0].inputs: nothing given"),
        (
            {"steps": [{"session_id": "a", "inputs": [], "commit": False}]},
            "steps[0].commit: unknown",
        ),
        ({"step": []}, "step: unknown field given"),
    ],
)
def test_bad_bulk(live: Live, body: Any, detail: str) -> None:
    """A bulk request that cannot be read as a whole is refused as a whole."""
    problem = refused(live.client.post("/v1/steps", json=body), 422, "invalid_request")
    assert detail in problem["detail"]
    answer = live.client.post("/v1/steps", content=b"", headers=RAW)
    refused(answer, 415, "unsupported_media_type")
