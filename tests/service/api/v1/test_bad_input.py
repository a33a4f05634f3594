"""Bad input over a socket: a clear error of the contract, and nothing changed."""

import json
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save

from tests.harness.client import MODEL, RAW, TENSORS, ZERO, Client, refused
from tests.harness.live import Live

ROW = [0.5] * 10
JSON = {"Content-Type": "application/json"}
NAN = float("nan")


def _with(index: int, value: object) -> str:
    row: list[object] = list(ROW)
    row[index] = value
    return json.dumps({"inputs": [ROW, row]})


BAD_STEPS = [
    ("wrong feature size", json.dumps({"inputs": [ROW[:9]]}), 422, "shape_mismatch", "inputs[0]: "),
    ("no feature axis", json.dumps({"inputs": ROW}), 422, "shape_mismatch", "inputs[0]: a number"),
    ("empty sequence", '{"inputs": []}', 422, "shape_mismatch", "inputs: no time step given"),
    ("ragged rows", json.dumps({"inputs": [ROW, ROW[:3]]}), 422, "shape_mismatch", "inputs[1]: "),
    ("a string", _with(3, "0.5"), 422, "invalid_request", "inputs[1][3]: a string given"),
    ("a null", _with(0, None), 422, "invalid_request", "inputs[1][0]: null given"),
    ("a boolean", _with(9, True), 422, "invalid_request", "inputs[1][9]: a boolean given"),
    ("a list", _with(2, [1]), 422, "shape_mismatch", "inputs[1][2]: a list given"),
    ("NaN", _with(2, NAN), 400, "malformed", "not JSON at line 1"),
    ("Infinity", _with(2, float("inf")), 400, "malformed", "not JSON at line 1"),
    ("1e400", _with(2, 1).replace("1,", "1e400,"), 400, "malformed", "infinity"),
    ("NaN in words", _with(2, "NaN"), 422, "invalid_request", "inputs[1][2]: a string given"),
    ("1e39", _with(2, 1e39), 422, "non_finite_input", "inputs[1][2]: 1e+39 is beyond float32"),
    ("too many steps", json.dumps({"inputs": [ROW] * 10_001}), 422, "sequence_too_long", "10001"),
    ("no inputs", "{}", 422, "invalid_request", "inputs: nothing given"),
    (
        "unknown field",
        json.dumps({"inputs": [ROW], "sped": 1}),
        422,
        "invalid_request",
        "sped: unknown",
    ),
    ("not an object", json.dumps([ROW]), 422, "invalid_request", "a list of 1 given"),
    ("not JSON", '{"inputs":', 400, "malformed", "not JSON at line 1, column"),
    ("no body", "", 400, "malformed", "nothing given"),
    ("not UTF-8", b'{"inputs": "\xff"}', 400, "malformed", "byte 12 is not UTF-8"),
    (
        "position -1",
        json.dumps({"inputs": [ROW], "position": -1}),
        422,
        "invalid_request",
        "position: -1",
    ),
    (
        "position 1.0",
        json.dumps({"inputs": [ROW], "position": 1.0}),
        422,
        "invalid_request",
        "position: 1",
    ),
    (
        "position true",
        json.dumps({"inputs": [ROW], "position": True}),
        422,
        "invalid_request",
        "position: a boolean given",
    ),
    (
        "commit 0",
        json.dumps({"inputs": [ROW], "commit": 0}),
        422,
        "invalid_request",
        "commit: a number given; expected true or false",
    ),
    (
        "wrong input name",
        json.dumps({"inputs": {"x": [ROW]}}),
        422,
        "invalid_request",
        "inputs.x: no such",
    ),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "detail"),
    [each[1:] for each in BAD_STEPS],
    ids=[each[0] for each in BAD_STEPS],
)
def test_bad_step(session: Client, body: Any, status: int, code: str, detail: str) -> None:
    """A step that cannot be read is refused with its code and field, and the session stays."""
    before = session.http.get(f"{session.path}/state").text
    answer = session.http.post(f"{session.path}/steps", content=body, headers=JSON)
    problem = refused(answer, status, code)
    assert detail in problem["detail"]
    assert problem["advanced"] is False
    assert problem["type"].endswith(code)
    assert session.http.get(f"{session.path}/state").text == before


BAD_BYTES = [
    ("one byte short", bytes(39), RAW, 422, "shape_mismatch", "39 bytes given; expected a"),
    ("nothing", b"", RAW, 422, "shape_mismatch", "0 bytes given"),
    ("NaN", np.full(10, NAN, "<f4").tobytes(), RAW, 422, "non_finite_input", "the body"),
    ("infinity", np.full(10, np.inf, "<f4").tobytes(), RAW, 422, "non_finite_input", "the body"),
    ("too many steps", bytes(40 * 10_001), RAW, 422, "sequence_too_long", "10001 time steps"),
    ("not safetensors", bytes(100), TENSORS, 400, "malformed", "the body"),
    ("wrong name", save({"x": np.ones((1, 10), "<f4")}), TENSORS, 422, "invalid_request", "x: no"),
    (
        "wrong dtype",
        save({"input": np.ones((1, 10))}),
        TENSORS,
        422,
        "shape_mismatch",
        "input: float64 given; expected float32[time][10]",
    ),
    (
        "wrong shape",
        save({"input": np.ones((10, 1), "<f4")}),
        TENSORS,
        422,
        "shape_mismatch",
        "input: the shape [10, 1] given",
    ),
    ("a form", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415,
     "unsupported_media_type", "expected one of application/json"),
    ("text", b"[]", {"Content-Type": "text/plain"}, 415, "unsupported_media_type", "text/plain"),
    ("position x", bytes(40), RAW | {"Carousel-Position": "x"}, 422, "invalid_request", "'x'"),
    ("position -1", bytes(40), RAW | {"Carousel-Position": "-1"}, 422, "invalid_request", "-1"),
    ("timeout 0", bytes(40), RAW | {"X-Request-Timeout-Ms": "0"}, 422, "invalid_request", "'0'"),
    ("takes images", bytes(40), RAW | {"Accept": "image/png"}, 406, "not_acceptable", "image/png"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "detail"),
    [each[1:] for each in BAD_BYTES],
    ids=[each[0] for each in BAD_BYTES],
)
def test_bad_bytes(
    session: Client, body: bytes, headers: dict[str, str], status: int, code: str, detail: str
) -> None:
    """A binary step that cannot be read is refused likewise."""
    answer = session.http.post(f"{session.path}/steps", content=body, headers=headers)
    problem = refused(answer, status, code)
    assert detail in problem["detail"]
    assert session.position == 0


BAD_INFER = [
    (
        "attention",
        {"sequences": [{"Q": [[[0] * 32]]}]},
        "invalid_request",
        "sequences[0].K: nothing",
    ),
    ("attention", {"sequences": [[[0] * 32]]}, "invalid_request", "3 inputs: Q, K, V"),
    ("tokens", {"sequences": [[0, 11]]}, "out_of_range", "sequences[0][1]: 11 given"),
    ("tokens", {"sequences": [[0, -1]]}, "out_of_range", "sequences[0][1]: -1 given"),
    ("tokens", {"sequences": [[2**63]]}, "out_of_range", "sequences[0][0]: 9223372036854775808"),
    ("tokens", {"sequences": [[0.5]]}, "invalid_request", "sequences[0][0]: 0.5 given"),
    (MODEL, {"sequences": []}, "invalid_request", "sequences: a list of 0 given"),
    (MODEL, {}, "invalid_request", "sequences: nothing given"),
    (MODEL, {"sequences": [[ROW]], "state": []}, "invalid_request", "state: unknown field"),
    (MODEL, {"sequences": [[ROW] * 6_000] * 2}, "sequence_too_long", "12000 time steps given"),
    (MODEL, {"sequences": [[ROW]], "states": []}, "invalid_request", "states: a list of 0"),
    (
        MODEL,
        {"sequences": [[ROW]], "states": [{"h": ZERO["h"]}]},
        "invalid_request",
        "[0].c: nothi",
    ),
    (
        MODEL,
        {"sequences": [[ROW]], "states": [{"h": [[0]], "c": ZERO["c"]}]},
        "shape_mismatch",
        "states[0].h: a list of 1 given; expected a list of 2",
    ),
    (
        MODEL,
        {"sequences": [[ROW]], "states": [{"h": [["NaN"] * 20] * 2, "c": ZERO["c"]}]},
        "non_finite_state",
        "states[0].h[0][0]: NaN given",
    ),
]


@pytest.mark.parametrize(("model", "body", "code", "detail"), BAD_INFER)
def test_bad_infer(live: Live, model: str, body: Any, code: str, detail: str) -> None:
    """A sequence or state that does not fit is named by its place."""
    problem = refused(live.client.post(f"/v1/models/{model}/infer", json=body), 422, code)
    assert detail in problem["detail"]


def test_raw_for_several_inputs(live: Live) -> None:
    """Raw bytes cannot be three tensors."""
    answer = live.client.post("/v1/models/attention/infer", content=bytes(128), headers=RAW)
    refused(answer, 415, "unsupported_media_type")
    body = save({"Q": np.ones((1, 1, 32), "<f4"), "K": np.ones((1, 1, 32), "<f4"),
                 "V": np.ones((1, 32, 64), "<f4")})  # fmt: skip
    headers = TENSORS | {"Accept": "application/octet-stream"}
    answer = live.client.post("/v1/models/attention/infer", content=body, headers=headers)
    refused(answer, 406, "not_acceptable")


def test_large_bodies(live: Live) -> None:
    """A body beyond the limit is refused, whether its size is announced or found out."""
    path = f"/v1/models/{MODEL}/infer"
    refused(live.client.post(path, content=bytes(16_000_001)), 413, "payload_too_large")
    refused(live.client.post("/v1/sessions", content=bytes(16_000_001)), 413, "payload_too_large")

    def pieces() -> Any:
        for _ in range(20):
            yield bytes(1_000_000)

    with httpx.Client(base_url=live.url, timeout=30) as client:
        refused(client.post(path, content=pieces(), headers=RAW), 413, "payload_too_large")


def test_nothing_there(live: Live) -> None:
    """Unknown models, versions and paths are told apart; other methods are told which there are."""
    body = {"sequences": [[ROW]]}
    for path, code in (
        ("/v1/models/none/infer", "model_not_found"),
        (f"/v1/models/{MODEL}/versions/2/infer", "model_not_found"),
        (f"/v1/models/{MODEL}/versions/-1/infer", "not_found"),
        (f"/v1/modles/{MODEL}/infer", "not_found"),
        ("/v1/models/../../etc/infer", "not_found"),
        ("/v1/models/a%2fb/infer", "model_not_found"),
    ):
        problem = refused(live.client.post(path, json=body), 404, code)
        assert "advanced" in problem or code == "not_found"
    for method, path, allow in (
        ("GET", "/v1/steps", "POST"),
        ("DELETE", f"/v1/models/{MODEL}/infer", "POST"),
        ("PUT", "/v1/sessions", "GET, HEAD, POST"),
        ("PATCH", "/v1/sessions/x", "DELETE, GET, HEAD"),
        ("POST", "/readyz", "GET, HEAD"),
    ):
        answer = live.client.request(method, path)
        refused(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == allow


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "size=5"])
def test_bad_list(live: Live, query: str) -> None:
    """A list query with a value out of bounds or an unknown name is refused."""
    problem = refused(live.client.get(f"/v1/sessions?{query}"), 422, "invalid_request")
    assert problem["detail"].startswith(query.partition("=")[0])


def test_errors_tell_no_insides(live: Live) -> None:
    """No error shows a path, a class name or a stack."""
    for body in ("{", '{"inputs": 5}', '{"model": {}}', "[" * 2000, '{"a":' * 500):
        for path in ("/v1/sessions", "/v1/steps", f"/v1/models/{MODEL}/infer"):
            answer = live.client.post(path, content=body, headers=JSON)
            assert answer.status_code in (400, 422)
            for secret in ("Traceback", "/", ".py", "Error", "class ", "pydantic"):
                assert secret not in answer.json()["detail"].replace("application/", "")
