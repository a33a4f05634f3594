"""What a lost or a hostile client may try, over a real socket: a clear answer, and no harm."""

import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from tests.harness.client import MODEL, TENSORS, ZERO, Client, refused
from tests.harness.live import Live

INFER = f"/v1/models/{MODEL}/infer"
ROW = [0.5] * 10
FAR = 2**53


def test_a_request_of_many_sequences_needs_no_room_for_all_at_once(repository: Path) -> None:
    """More sequences than a queue holds are answered in their order; no retry could help else."""
    with Live(repository, "--queue-requests", "8") as service:
        sequences = [[[float(index)] * 10] for index in range(50)]
        answer = service.client.post(INFER, json={"sequences": sequences})
        assert answer.status_code == 200, answer.text
        outputs = np.asarray(answer.json()["outputs"])
        for index in (0, 1, 2, 25, 49):
            [alone] = service.client.post(INFER, json={"sequences": [sequences[index]]}).json()[
                "outputs"
            ]
            np.testing.assert_allclose(outputs[index], alone, atol=1e-5)


def test_a_session_of_a_model_that_is_gone_can_be_deleted(repository: Path, tmp_path: Path) -> None:
    """It takes up room and an id, and nothing else can be done with it."""
    own = tmp_path / "models"
    shutil.copytree(repository, own)
    with Live(own) as service:
        for session_id in ("a", "b"):
            body = {"model": "gru-10-20-2", "session_id": session_id}
            assert service.client.post("/v1/sessions", json=body).status_code == 201
        shutil.rmtree(own / "gru-10-20-2")
        service.signal(signal.SIGHUP)
        service.wait_for("no longer serving gru-10-20-2/1")
        refused(service.client.get("/v1/sessions/a"), 409, "model_mismatch")
        other = {"If-Match": '"other"'}
        answer = service.client.delete("/v1/sessions/a", headers=other)
        refused(answer, 412, "precondition_failed")
        assert service.client.delete("/v1/sessions/a").status_code == 204
        refused(service.client.delete("/v1/sessions/a"), 404, "session_not_found")
        body = {"model": MODEL, "session_id": "a"}
        assert service.client.post("/v1/sessions", json=body).status_code == 201


def test_a_repository_that_vanished_is_no_reason_to_serve_nothing(
    repository: Path, tmp_path: Path
) -> None:
    """A SIGHUP while the folder is away, as a volume may be, leaves what is served alone."""
    own = tmp_path / "models"
    shutil.copytree(repository, own)
    with Live(own) as service:
        own.rename(tmp_path / "away")
        service.signal(signal.SIGHUP)
        service.wait_for("serving as before")
        assert service.client.get("/readyz").status_code == 200
        answer = service.client.post(INFER, json={"sequences": [[ROW]]})
        assert answer.status_code == 200


def test_a_session_cannot_be_put_where_no_step_could_name_it(live: Live, session: Client) -> None:
    """Positions stay integers of 64 bits, however many steps follow."""
    opened = live.client.post("/v1/sessions", json={"model": MODEL, "position": FAR})
    refused(opened, 422, "invalid_request")
    written = live.client.put(f"{session.path}/state", json={"state": ZERO, "position": FAR})
    refused(written, 422, "invalid_request")
    state = {f"state.{name}": np.asarray(value, np.float32) for name, value in ZERO.items()}
    headers = TENSORS | {"Carousel-Position": str(FAR)}
    answer = live.client.put(f"{session.path}/state", content=save(state), headers=headers)
    refused(answer, 422, "invalid_request")
    assert session.position == 0
    last = live.client.put(f"{session.path}/state", json={"state": ZERO, "position": FAR - 1})
    assert last.status_code == 200
    assert session.step(np.ones((2, 10)), position=FAR - 1)["position"] == FAR + 1
    assert session.step(np.ones((1, 10)), position=FAR + 1)["position"] == FAR + 2


def test_a_number_too_large_for_a_state_is_a_fault_of_the_state(session: Client) -> None:
    """The code says state, as it does for NaN in one; NaN is named as it was written."""
    for value, says in ((1e39, "1e+39 is beyond float32"), ("NaN", "NaN given")):
        state = ZERO | {"h": [[value] + [0.0] * 19, [0.0] * 20]}
        answer = session.http.put(f"{session.path}/state", json={"state": state, "position": 0})
        assert says in refused(answer, 422, "non_finite_state")["detail"]


@pytest.mark.parametrize(
    ("path", "body"), [(INFER, {"sequences": [[ROW]]}), ("/v1/sessions", {"model": MODEL})]
)
def test_a_detail_repeats_no_more_than_a_line(live: Live, path: str, body: dict[str, Any]) -> None:
    """A field's name may be as long as a body; the error that names it is not."""
    answer = live.client.post(path, json={"x" * 100_000: 1, **body})
    problem = refused(answer, 422, "invalid_request")
    assert len(answer.content) < 2000
    assert "unknown field given" in problem["detail"]
