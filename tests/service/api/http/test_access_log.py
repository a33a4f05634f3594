"""What a request is called, in its answer and in the log."""

import re
from pathlib import Path

import pytest

from tests.harness.client import MODEL
from tests.harness.live import Live

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STEP = {"inputs": [[0.5] * 10]}


def test_every_answer_says_its_id(live: Live) -> None:
    """The client's own where there is one; else one of ours, no two alike. Errors say it too."""
    opened = live.client.post("/v1/sessions", json={"model": MODEL})
    path = f"/v1/sessions/{opened.json()['session_id']}"
    asked = [
        ("POST", f"{path}/steps", STEP, 200),
        ("POST", f"{path}/steps", {**STEP, "position": 9}, 409),
        ("POST", f"{path}/steps", {}, 422),
        ("POST", f"{path}/steps?commit=true", STEP, 200),
        ("POST", f"/v1/models/{MODEL}/infer", {"sequences": [STEP["inputs"]]}, 200),
        ("POST", f"/v2/models/{MODEL}/infer", {}, 422),
        ("GET", path, None, 200),
        ("GET", "/v1/sessions/none", None, 404),
        ("GET", "/v1/nothing", None, 404),
        ("GET", "/livez", None, 200),
    ]
    seen = {opened.headers["x-request-id"]}
    for method, url, body, status in asked:
        answer = live.client.request(method, url, json=body)
        assert answer.status_code == status, answer.text
        ours = answer.headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", ours)
        assert ours not in seen
        seen.add(ours)
        given = {"X-Request-ID": f"order-{len(seen)}", "traceparent": PARENT}
        again = live.client.request(method, url, json=body, headers=given)
        assert again.headers["x-request-id"] == f"order-{len(seen)}"
        assert again.headers["traceparent"] == PARENT
        if again.headers["content-type"] == "application/problem+json":
            assert again.json()["request_id"] == f"order-{len(seen)}"
    live.client.delete(path)


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "\xe9"])
def test_an_id_that_cannot_stand_in_a_log_is_not_taken(live: Live, given: str) -> None:
    """Ours stands in its place; a trace that is none does not go back."""
    headers = {b"X-Request-ID": given.encode("latin-1"), b"traceparent": b"00-x"}
    answer = live.client.get("/v1/models", headers=headers)
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", answer.headers["x-request-id"])
    assert "traceparent" not in answer.headers


def test_a_line_for_each_request_at_debug(repository: Path) -> None:
    """Of either plane and either way through it, with the client's id and trace."""
    with Live(repository, "--log-level", "debug") as service:
        headers = {"X-Request-ID": "order-7", "traceparent": PARENT}
        opened = service.client.post("/v1/sessions", json={"model": MODEL}, headers=headers)
        line = service.wait_for("POST /v1/sessions 201 in ")
        assert "request order-7, trace 0af7651916cd43dd8448eb211c80319c" in line
        assert "level=debug logger=carousel.access" in line
        path = opened.headers["location"] + "/steps"
        for _ in range(2):
            service.client.post(path, json=STEP, headers=headers)
            assert "request order-7" in service.wait_for(f"POST {path} 200 in ")
        service.client.get("/v1/a%0ac", headers=headers)
        assert "404" in service.wait_for("GET /v1/")


def test_the_start_says_what_is_set_and_whom_it_answers(repository: Path) -> None:
    """In words, and without a secret."""
    env = {"CAROUSEL_API_KEY": "a-key-of-the-tests-42", "CAROUSEL_THREADS": "2"}
    with Live(repository, "--max-steps", "99", env=env) as service:
        said = "\n".join(service.logs)
        assert "it answers whoever sends the API key" in said
        assert "setting max-steps = 99" in said
        assert "setting threads = 2" in said
        assert f"serving {MODEL}/1 by its onnx program on cpu; streams step by step" in said
        assert "a-key-of" not in said
        assert "<" not in said
    with Live(repository, "--allowed-hosts", "*.team-a") as service:
        assert any("names without a dot, *.localhost, *.team-a" in each for each in service.logs)
