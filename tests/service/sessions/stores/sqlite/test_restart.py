"""What a service finds again after it was ended or killed, over a socket: all that it answered."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import load, save

from carousel.models.row import Array
from tests.harness.client import MODEL, RAW, TENSORS, ZERO, Client, numbers, refused
from tests.harness.durable import copy_models, expect_lstm, open_session, serve_file
from tests.harness.served import Served, run_lstm

# One more than are recorded, and one that is none of them.
STEPS = [numbers(1, 10, seed=seed) for seed in range(10)]  # (T, F) each
KEPT = range(2, 10)
# Its reply is the largest that is kept, 80 bytes a time step; one time step more is not.
LARGE = numbers((1 << 20) // 80, 10)  # (T, F)
TOO_LARGE = numbers((1 << 20) // 80 + 1, 10)  # (T, F)
WRITTEN = {name: np.full((2, 20), 0.25).tolist() for name in ZERO}
AS_TENSORS = {"Accept": TENSORS["Content-Type"]}
NAMED = [f"page-{index}" for index in range(7)]


@dataclass(slots=True)
class Past:
    """What a client noted of an earlier process, and the way to the present one."""

    http: httpx.Client
    replies: list[bytes] = field(default_factory=list)
    sessions: list[Any] = field(default_factory=list)
    large: bytes = b""
    state: bytes = b""
    etag: str = ""
    next: str = ""


@pytest.fixture(scope="module", params=[signal.SIGTERM, signal.SIGKILL], ids=["ended", "killed"])
def past(
    request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Past]:
    """A process answered steps, and was ended or killed right after; the next one serves."""
    folder = tmp_path_factory.mktemp("durable")
    models = copy_models(repository, folder / "models", MODEL)
    arguments = (models, folder / "sessions.sqlite", "--max-steps", "20000")
    with serve_file(*arguments) as first:
        before = _live(first.client)
        first.signal(request.param)
        assert first.wait() == (0 if request.param is signal.SIGTERM else -signal.SIGKILL)
    with serve_file(*arguments) as second:
        before.http = second.client
        yield before


def _live(http: httpx.Client) -> Past:
    past = Past(http)
    for name in ("steps", "large", "too-large", "source", "reset", "tagged", "next", *NAMED):
        open_session(http, name)
    open_session(http, "given", state=WRITTEN, position=40, ttl_s=77.0)
    past.large = Client(http, "large").raw(LARGE, Carousel_Position="0").content
    assert Client(http, "too-large").raw(TOO_LARGE, Carousel_Position="0").status_code == 200
    for name in ("source", "reset", "tagged"):
        Client(http, name).step(STEPS[0])
    made = http.post("/v1/sessions/source/fork", json={"session_ids": ["fork-a", "fork-b"]})
    assert made.status_code == 201
    Client(http, "source").step(STEPS[1])
    assert http.post("/v1/sessions/reset/reset").status_code == 200
    past.etag = http.get("/v1/sessions/tagged/state").headers["etag"]
    past.next = http.get("/v1/sessions", params={"after": "page", "limit": 3}).json()["next"]
    past.sessions = http.get("/v1/sessions").json()["sessions"]
    past.state = http.get("/v1/sessions/source/state", headers=AS_TENSORS).content
    steps = Client(http, "steps")
    past.replies = [steps.post(x, position=at).content for at, x in enumerate(STEPS)]
    return past


def _repeat(past: Past, session_id: str, x: Array, position: int, **more: Any) -> httpx.Response:
    return Client(past.http, session_id).post(x, position=position, **more)


def test_every_session_is_found(past: Past) -> None:
    """Each one that was listed before is what it was: position, version, times, bytes."""
    now = {each["session_id"]: each for each in past.http.get("/v1/sessions").json()["sessions"]}
    for each in past.sessions:
        if each["session_id"] not in ("steps", "tagged"):
            assert now[each["session_id"]] == each
    assert len(now) == len(past.sessions)
    assert now["given"]["position"] == 40
    assert now["steps"]["position"] == len(STEPS)


def test_a_repeat_is_answered_with_the_same_bytes(past: Past) -> None:
    """The last eight replies come again as they were, and say so; the state does not move."""
    for position in KEPT:
        again = _repeat(past, "steps", STEPS[position], position)
        assert again.status_code == 200, again.text
        assert again.headers["carousel-replayed"] == "true"
        assert again.content == past.replies[position]
    assert Client(past.http, "steps").position == len(STEPS)


def test_a_repeat_in_another_encoding_is_answered(past: Past, served: dict[str, Served]) -> None:
    """What was sent as JSON is known again as raw bytes and as safetensors."""
    at = {"Carousel-Position": "9"}
    path = "/v1/sessions/steps/steps"
    raw = past.http.post(path, content=STEPS[9].tobytes(), headers=RAW | at)
    packed = past.http.post(path, content=save({"input": STEPS[9]}), headers=TENSORS | at)
    for answer in (raw, packed):
        assert answer.status_code == 200, answer.text
        assert answer.headers["carousel-replayed"] == "true"
        assert answer.headers["carousel-position"] == "10"
    expect_lstm(served, np.frombuffer(raw.content, "<f4"), *STEPS)
    expect_lstm(served, load(packed.content)["output"], *STEPS)


def test_only_the_very_last_step_is_repeated_with_its_state(
    past: Past, served: dict[str, Served]
) -> None:
    """`return_state` gives the state after the last step; for an older one: reply_not_kept."""
    last = _repeat(past, "steps", STEPS[9], 9, return_state=True).json()
    _, h, c = run_lstm(served[MODEL].module, np.concatenate(STEPS))
    np.testing.assert_allclose(last["state"]["h"], h, rtol=0, atol=1e-5)
    np.testing.assert_allclose(last["state"]["c"], c, rtol=0, atol=1e-5)
    older = _repeat(past, "steps", STEPS[8], 8, return_state=True)
    assert refused(older, 409, "reply_not_kept")["position"] == 10


def test_what_is_no_repeat_is_refused(past: Past) -> None:
    """A step before the record, other inputs, and a position nobody was at: the state is safe."""
    for x, position in ((STEPS[1], 1), (STEPS[0], 9), (STEPS[9], 11)):
        problem = refused(_repeat(past, "steps", x, position), 409, "position_conflict")
        assert (problem["position"], problem["advanced"]) == (10, False)


def test_a_reply_up_to_a_megabyte_is_recorded(past: Past, served: dict[str, Served]) -> None:
    """1 MiB comes again; of one time step more is known only that it was done."""
    kept = Client(past.http, "large").raw(LARGE, Carousel_Position="0")
    assert kept.headers["carousel-replayed"] == "true"
    assert kept.content == past.large
    expect_lstm(served, np.frombuffer(kept.content[:800], "<f4"), LARGE[:10])
    lost = Client(past.http, "too-large").raw(TOO_LARGE, Carousel_Position="0")
    assert refused(lost, 409, "reply_not_kept")["position"] == len(TOO_LARGE)


def test_forked_reset_and_written_states_go_on(past: Past, served: dict[str, Served]) -> None:
    """Each from where it stood; forks and resets have no recorded replies."""
    expect_lstm(served, Client(past.http, "fork-a").step(STEPS[2])["outputs"], STEPS[0], STEPS[2])
    refused(_repeat(past, "fork-b", STEPS[0], 0), 409, "position_conflict")
    expect_lstm(served, _repeat(past, "reset", STEPS[3], 0).json()["outputs"], STEPS[3])
    state = np.asarray(WRITTEN["h"], np.float32), np.asarray(WRITTEN["c"], np.float32)
    expected, _, _ = run_lstm(served[MODEL].module, STEPS[4], state)
    found = Client(past.http, "given").step(STEPS[4], position=40)
    np.testing.assert_allclose(found["outputs"], expected, rtol=0, atol=1e-5)


def test_a_state_is_the_same_bytes(past: Past) -> None:
    """What is read is what was read before."""
    read = past.http.get("/v1/sessions/source/state", headers=AS_TENSORS)
    assert read.content == past.state
    assert read.headers["carousel-position"] == "2"


def test_a_tag_from_before_still_matches(past: Past) -> None:
    """An ETag names a revision, not a process: it holds until the session moves."""
    path, tagged = "/v1/sessions/tagged/state", {"If-Match": past.etag}
    assert past.http.get(path).headers["etag"] == past.etag
    body = {"state": WRITTEN, "position": 5}
    assert past.http.put(path, json=body, headers=tagged).status_code == 200
    refused(past.http.put(path, json=body, headers=tagged), 412, "precondition_failed")
    refused(past.http.delete("/v1/sessions/tagged", headers=tagged), 412, "precondition_failed")


def test_a_list_goes_on_where_it_was(past: Past) -> None:
    """`next` of a page from before leads to the next page, and each session comes once."""
    found = past.http.get("/v1/sessions", params={"after": past.next, "limit": 3}).json()
    assert [each["session_id"] for each in found["sessions"]] == NAMED[3:6]
    rest = past.http.get("/v1/sessions", params={"after": found["next"]}).json()["sessions"]
    assert rest[0]["session_id"] == NAMED[6]


def test_it_goes_on_stepping(past: Past, served: dict[str, Served]) -> None:
    """The next step of a session that an earlier process fed, and its repeat."""
    x = numbers(3, 10)
    client = Client(past.http, "next")
    expect_lstm(served, client.step(x, position=0)["outputs"], x)
    again = client.raw(x, Carousel_Position="0")
    assert again.headers["carousel-replayed"] == "true"
    taken = past.http.post("/v1/sessions", json={"model": MODEL, "session_id": "next"})
    assert refused(taken, 409, "session_exists")["session"]["position"] == 3
