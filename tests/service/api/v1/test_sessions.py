"""Sessions over a socket: their state is that of eager PyTorch, and their positions keep order."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from tests.harness.client import MODEL, RAW, TENSORS, TOLERANCE, ZERO, Client, numbers, refused
from tests.harness.live import Live
from tests.harness.served import Served, run_lstm

Models = dict[str, Served]


@pytest.mark.parametrize("pieces", [[10], [1] * 10, [3, 1, 6]])
def test_pieces_equal_the_whole(session: Client, served: Models, pieces: list[int]) -> None:
    """A stream fed whole, step by step or in chunks gives what eager PyTorch gives."""
    x = numbers(10, 10)
    outputs, start = [], 0
    for size in pieces:
        answer = session.step(x[start : start + size], position=start)
        outputs += answer["outputs"]
        start += size
        assert answer["position"] == start
    expected, h, c = run_lstm(served[MODEL].module, x)
    np.testing.assert_allclose(outputs, expected, atol=TOLERANCE)
    state = session.http.get(f"{session.path}/state").json()
    assert state["position"] == 10
    np.testing.assert_allclose(state["state"]["h"], h, atol=TOLERANCE)
    np.testing.assert_allclose(state["state"]["c"], c, atol=TOLERANCE)


def test_encodings_share_a_session(session: Client, served: Models) -> None:
    """JSON, raw and safetensors steps of one session go on from each other."""
    x = numbers(3, 10)
    expected, h, _ = run_lstm(served[MODEL].module, x)
    first = session.step(x[:1])["outputs"]
    second = session.raw(x[1:2])
    assert second.headers["carousel-position"] == "2"
    body = save({"input": x[2:]})
    path = f"{session.path}/steps?return_state=true"
    third = session.http.post(path, content=body, headers=TENSORS)
    assert third.headers["carousel-position"] == "3"
    found = load(third.content)
    rows = [first, np.frombuffer(second.content, "<f4")[None], found["output"]]
    np.testing.assert_allclose(np.concatenate(rows), expected, atol=TOLERANCE)
    np.testing.assert_allclose(found["state.h"], h, atol=TOLERANCE)


def test_retry_is_answered_again(session: Client) -> None:
    """A retry that names its position gets the same reply, in either encoding; nothing moves."""
    x = numbers(1, 10)
    first = session.raw(x, Carousel_Position="0")
    again = session.raw(x, Carousel_Position="0")
    assert "carousel-replayed" not in first.headers
    assert again.headers["carousel-replayed"] == "true"
    assert again.content == first.content
    assert again.headers["carousel-position"] == first.headers["carousel-position"] == "1"
    other = session.post(x, position=0)
    assert other.headers["carousel-replayed"] == "true"
    assert "replayed" not in other.json()
    assert np.array(other.json()["outputs"], "<f4").tobytes() == first.content
    assert session.position == 1


def test_wrong_position_is_refused(session: Client) -> None:
    """A step that names another position moves nothing, and is told where the session stands."""
    session.step(numbers(2, 10))
    for position, x in ((1, numbers(1, 10)), (7, numbers(1, 10)), (0, numbers(2, 10, seed=9))):
        problem = refused(session.post(x, position=position), 409, "position_conflict")
        assert (problem["position"], problem["advanced"]) == (2, False)
    assert session.position == 2


def test_looking_moves_nothing(session: Client, served: Models) -> None:
    """`"commit": false` answers the step and its state, and leaves the session where it was."""
    x = numbers(2, 10)
    _, h, _ = run_lstm(served[MODEL].module, x)
    seen = session.step(x, commit=False, return_state=True)
    np.testing.assert_allclose(seen["state"]["h"], h, atol=TOLERANCE)
    path = f"{session.path}/steps?commit=false"
    assert session.http.post(path, content=x.tobytes(), headers=RAW).status_code == 200
    assert session.position == 0
    assert session.step(x)["outputs"] == seen["outputs"]


def test_raw_step_with_state_is_safetensors(session: Client) -> None:
    """A raw step whose answer has a state gets safetensors; only raw bytes cannot hold it."""
    x = numbers(1, 10)
    path = f"{session.path}/steps?return_state=true"
    only_raw = RAW | {"Accept": "application/octet-stream"}
    problem = refused(
        session.http.post(path, content=x.tobytes(), headers=only_raw), 406, "not_acceptable"
    )
    assert problem["advanced"] is False
    assert session.position == 0
    answer = session.http.post(path, content=x.tobytes(), headers=RAW)
    assert answer.headers["content-type"] == "application/x-safetensors"
    assert set(load(answer.content)) == {"output", "state.h", "state.c"}


def test_open_says_where_it_is(live: Live) -> None:
    """Opening answers 201 with the session's place; its id has 128 random bits."""
    answer = live.client.post("/v1/sessions", json={"model": MODEL, "ttl_s": 60})
    info = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/sessions/{info['session_id']}"
    assert len(bytes.fromhex(info["session_id"])) * 8 == 128
    assert (info["model"], info["version"], info["position"]) == (MODEL, 1, 0)
    assert info["state_bytes"] == 2 * 2 * 20 * 4
    times = {name: datetime.fromisoformat(info[name]) for name in info if name.endswith("_at")}
    assert (times["expires_at"] - times["last_used_at"]).total_seconds() == pytest.approx(60)
    assert live.client.get(answer.headers["location"]).json() == info


def test_open_at_a_state(live: Live, served: Models) -> None:
    """A session may begin at a state and a position that the client had kept."""
    h, c, x = numbers(2, 20, seed=1), numbers(2, 20, seed=2), numbers(1, 10)
    state = {"h": h.tolist(), "c": c.tolist()}
    body = {"model": MODEL, "version": 1, "session_id": "kept", "state": state, "position": 41}
    assert live.client.post("/v1/sessions", json=body).json()["position"] == 41
    answer = Client(live.client, "kept").step(x, position=41)
    expected, _, _ = run_lstm(served[MODEL].module, x, (h, c))
    np.testing.assert_allclose(answer["outputs"], expected, atol=TOLERANCE)
    assert answer["position"] == 42
    live.client.delete("/v1/sessions/kept")


def test_taken_id(live: Live) -> None:
    """An id that is taken answers 409 with the session, so that opening may be retried."""
    body = {"model": MODEL, "session_id": "Taken.1:a@b~c-d_e"}
    made = live.client.post("/v1/sessions", json=body).json()
    problem = refused(live.client.post("/v1/sessions", json=body), 409, "session_exists")
    assert problem["session"] == made
    assert "advanced" not in problem
    assert live.client.delete(f"/v1/sessions/{made['session_id']}").status_code == 204
    assert live.client.post("/v1/sessions", json=body).status_code == 201
    live.client.delete(f"/v1/sessions/{made['session_id']}")


def test_not_streamable(live: Live) -> None:
    """A session on a whole-sequence model is refused with the measured reason."""
    for model in ("bilstm-10-20-2", "attention"):
        answer = live.client.post("/v1/sessions", json={"model": model})
        assert refused(answer, 409, "not_streamable")["reason"]


def test_state_is_written(session: Client, served: Models) -> None:
    """A written state is the one the next step goes on from, in JSON and safetensors."""
    h, c, x = numbers(2, 20, seed=1), numbers(2, 20, seed=2), numbers(1, 10)
    expected, _, _ = run_lstm(served[MODEL].module, x, (h, c))
    body = save({"state.h": h, "state.c": c})
    written = session.http.put(
        f"{session.path}/state", content=body, headers=TENSORS | {"Carousel-Position": "7"}
    )
    assert written.json()["position"] == 7
    read = session.http.get(f"{session.path}/state", headers={"Accept": TENSORS["Content-Type"]})
    assert read.headers["carousel-position"] == "7"
    assert load(read.content)["state.c"].tobytes() == c.tobytes()
    np.testing.assert_allclose(session.step(x)["outputs"], expected, atol=TOLERANCE)
    state = {"h": h.tolist(), "c": c.tolist()}
    body_json = {"state": state, "position": 3}
    assert session.http.put(f"{session.path}/state", json=body_json).json()["position"] == 3
    np.testing.assert_allclose(session.step(x, position=3)["outputs"], expected, atol=TOLERANCE)


def test_etag_guards_writes(session: Client) -> None:
    """If-Match lets a write, reset or delete through only if nothing happened since the read."""
    etag = session.http.get(f"{session.path}/state").headers["etag"]
    session.step(numbers(1, 10))
    stale = {"If-Match": etag}
    body = {"state": ZERO, "position": 0}
    for answer in (
        session.http.put(f"{session.path}/state", json=body, headers=stale),
        session.http.post(f"{session.path}/reset", headers=stale),
        session.http.delete(session.path, headers=stale),
    ):
        refused(answer, 412, "precondition_failed")
    assert session.position == 1
    fresh = {"If-Match": session.http.get(f"{session.path}/state").headers["etag"]}
    assert session.http.post(f"{session.path}/reset", headers=fresh).json()["position"] == 0


def test_reset_starts_anew(session: Client) -> None:
    """After a reset the same inputs give the same outputs, and a retry of before is refused."""
    x = numbers(2, 10)
    first = session.step(x, position=0)
    assert session.http.post(f"{session.path}/reset", json={}).json()["position"] == 0
    refused(session.post(x, position=2), 409, "position_conflict")
    assert session.step(x, position=0)["outputs"] == first["outputs"]


def test_fork_copies_state(session: Client) -> None:
    """Forks go on as the original would, each by itself; taken ids make none."""
    x = numbers(1, 10)
    session.step(x)
    made = session.http.post(f"{session.path}/fork", json={"session_ids": ["f1", "f2"]})
    assert made.status_code == 201
    assert [each["session_id"] for each in made.json()["sessions"]] == ["f1", "f2"]
    expected = session.step(x, commit=False)["outputs"]
    for name in ("f1", "f2"):
        assert Client(session.http, name).step(x, position=1)["outputs"] == expected
    body = {"session_ids": ["f2", "f3"]}
    problem = refused(session.http.post(f"{session.path}/fork", json=body), 409, "session_exists")
    assert [each["session_id"] for each in problem["sessions"]] == ["f2"]
    refused(session.http.get("/v1/sessions/f3"), 404, "session_not_found")
    counted = session.http.post(f"{session.path}/fork", json={"count": 2, "ttl_s": 5}).json()
    for each in [*counted["sessions"], {"session_id": "f1"}, {"session_id": "f2"}]:
        assert session.http.delete(f"/v1/sessions/{each['session_id']}").status_code == 204


def test_list_goes_page_by_page(live: Live) -> None:
    """The list is in order of id, filtered by model, and `next` leads through all of it."""
    names = [f"page-{index}" for index in range(5)]
    for name in names:
        live.client.post("/v1/sessions", json={"model": "gru-10-20-2", "session_id": name})
    found: list[str] = []
    params: dict[str, str] = {"model": "gru-10-20-2", "limit": "2"}
    while True:
        page = live.client.get("/v1/sessions", params=params).json()
        found += [each["session_id"] for each in page["sessions"]]
        if page["next"] is None:
            break
        params["after"] = page["next"]
    assert found == names
    for name in names:
        live.client.delete(f"/v1/sessions/{name}")


def test_bulk_steps_many(live: Live) -> None:
    """Bulk feeds many sessions, one of them twice in order, and answers in the request's order."""
    x = numbers(3, 10)
    for name in ("b1", "b2"):
        live.client.post("/v1/sessions", json={"model": MODEL, "session_id": name})
    b1, b2 = Client(live.client, "b1"), Client(live.client, "b2")
    steps = [
        {"session_id": "b1", "inputs": x[:1].tolist()},
        {"session_id": "b2", "inputs": x.tolist(), "position": 0},
        {"session_id": "none", "inputs": x.tolist()},
        {"session_id": "b1", "inputs": x[1:].tolist(), "position": 1},
    ]
    answer = live.client.post("/v1/steps", json={"steps": steps})
    assert answer.status_code == 200
    first, second, third, fourth = answer.json()["results"]
    assert [first["position"], second["position"], fourth["position"]] == [1, 3, 3]
    joined = first["outputs"] + fourth["outputs"]
    np.testing.assert_allclose(joined, second["outputs"], atol=TOLERANCE)
    assert (third["session_id"], third["error"]["code"]) == ("none", "session_not_found")
    assert third["error"]["advanced"] is False
    again = live.client.post("/v1/steps", json={"steps": steps[1:2]}).json()["results"][0]
    assert again == second | {"replayed": True}
    assert b1.position == b2.position == 3
    for name in ("b1", "b2"):
        live.client.delete(f"/v1/sessions/{name}")


def test_bulk_refuses_what_follows(session: Client) -> None:
    """After a refused step, later ones of its session are refused, unless they say where they
    stand.
    """
    good, bad = numbers(1, 10).tolist(), [[1, 2]]
    steps: list[dict[str, Any]] = [
        {"session_id": session.id, "inputs": bad},
        {"session_id": session.id, "inputs": good},
        {"session_id": session.id, "inputs": good, "position": 0},
        {"session_id": session.id, "inputs": good},
    ]
    results = session.http.post("/v1/steps", json={"steps": steps}).json()["results"]
    assert results[0]["error"]["code"] == "shape_mismatch"
    assert results[0]["error"]["detail"].startswith("steps[0].inputs[0]: ")
    assert results[1]["error"]["code"] == "position_conflict"
    assert results[1]["error"]["position"] == 0
    assert [results[2]["position"], results[3]["position"]] == [1, 2]


def test_expired_is_told_from_never_there(live: Live) -> None:
    """A deleted session is not found, as is one that never was."""
    live.client.post("/v1/sessions", json={"model": MODEL, "session_id": "gone"})
    assert live.client.delete("/v1/sessions/gone").status_code == 204
    for name in ("gone", "never", "a b", "%2e%2e"):
        refused(live.client.get(f"/v1/sessions/{name}"), 404, "session_not_found")
        problem = refused(Client(live.client, name).post(numbers(1, 10)), 404, "session_not_found")
        assert problem["advanced"] is False
