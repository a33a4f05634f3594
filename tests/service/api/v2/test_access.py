"""Paths, methods, keys, limits and media types under /v2: every refusal in the protocol's form."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.client import MODEL, numbers
from tests.harness.live import Live
from tests.service.api.v2.oip import failed, infer_path, read, tensor

X = numbers(1, 2, 10)  # (B, T, F)


ENTRY = tensor("input", X)


KEY = "a-key-of-the-tests-43"


def post(live: Live, document: Any, **more: Any) -> httpx.Response:
    """A request in JSON."""
    return live.client.post(infer_path(), json=document, **more)


def _sequence(**parameters: Any) -> dict[str, Any]:
    return {"inputs": [ENTRY], "parameters": parameters}


@pytest.fixture(scope="module")
def guarded(repository: Path) -> Iterator[Live]:
    """A service with a key, a small store and a small body."""
    limits = ("--store", "memory", "--store-bytes", "100000", "--max-body-bytes", "2000")
    with Live(repository, *limits, env={"CAROUSEL_API_KEY": KEY}) as service:
        yield service


def test_a_key_guards_all_but_the_probes(guarded: Live) -> None:
    """401 in the protocol's form; probes need no key."""
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert guarded.client.get(path).status_code == 200
    for path in ("/v2", f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/ready", "/v2/none"):
        refused = guarded.client.get(path)
        failed(refused, 401, "unauthorized")
        assert refused.headers["www-authenticate"] == "Bearer"
    failed(post(guarded, {"inputs": [ENTRY]}), 401, "unauthorized")
    key = {"Authorization": f"Bearer {KEY}"}
    read(post(guarded, {"inputs": [ENTRY]}, headers=key))


def test_limits_hold_for_sequences_too(guarded: Live) -> None:
    """A full store takes no new sequence, and says when to come again; large bodies are refused."""
    key = {"Authorization": f"Bearer {KEY}"}
    full: httpx.Response | None = None
    for number in range(1, 300):
        answer = post(guarded, _sequence(sequence_id=number, sequence_start=True), headers=key)
        if answer.status_code != 200:
            full = answer
            break
    assert full is not None
    failed(full, 429, "session_limit")
    assert int(full.headers["retry-after"]) > 0
    again = post(guarded, _sequence(sequence_id=1, sequence_start=True), headers=key)
    assert read(again)[0]["parameters"]["restarted"] is True
    large = guarded.client.post(infer_path(), content=bytes(2001), headers=key)
    failed(large, 413, "payload_too_large")


def test_errors_under_v2_have_its_form(live: Live) -> None:
    """Paths and methods that are none, models that are not there, and bodies too large."""
    http = live.client
    for path in ("/v2/none", "/v2/models", f"/v2/models/{MODEL}/none", "/v2/models/a/versions"):
        failed(http.get(path), 404, "not_found")
    failed(http.get("/v2/models/none"), 404, "model_not_found")
    failed(http.get(f"/v2/models/{MODEL}/versions/2/ready"), 404, "model_not_found")
    failed(http.post(infer_path("none"), json={"inputs": [ENTRY]}), 404, "model_not_found")
    refused = http.get(infer_path())
    failed(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "POST"
    refused = http.post("/v2/health/live")
    failed(refused, 405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD"
    failed(http.post(infer_path(), content=bytes(16_000_001)), 413, "payload_too_large")
    late = post(live, {"inputs": [ENTRY]}, headers={"X-Request-Timeout-Ms": "0"})
    failed(late, 422, "invalid_request")
    assert http.get("/v2x").headers["content-type"] == "application/problem+json"


def test_media_types(live: Live) -> None:
    """JSON may come without a name or as octets, as clients send it; forms and the like may not."""
    body = json.dumps({"inputs": [ENTRY]})
    for given in (None, "application/json", "application/octet-stream"):
        headers = {} if given is None else {"Content-Type": given}
        assert live.client.post(infer_path(), content=body, headers=headers).status_code == 200
    for given in ("text/plain", "application/x-www-form-urlencoded", "application/x-safetensors"):
        answer = live.client.post(infer_path(), content=body, headers={"Content-Type": given})
        failed(answer, 415, "unsupported_media_type")
    answer = live.client.post(infer_path(), content=body, headers={"Content-Encoding": "gzip"})
    failed(answer, 415, "unsupported_media_type")
