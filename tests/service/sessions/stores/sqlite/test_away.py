"""The session file cannot be written for a while: a disk that is full, or somebody else's lock.
Steps are refused honestly, nothing is lost or doubled, and service resumes by itself.
"""

import resource
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.harness.client import MODEL, Client, numbers, refused
from tests.harness.durable import copy_models, expect_lstm, locked, open_session, serve_file
from tests.harness.live import Live
from tests.harness.served import Served

Away = Callable[[Live, Path], AbstractContextManager[None]]

STEPS = [numbers(1, 10, seed=seed) for seed in range(4)]  # (T, F) each


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The session file of the service under test."""
    return tmp_path_factory.mktemp("away") / "s"


@pytest.fixture(scope="module")
def service(repository: Path, place: Path) -> Iterator[Live]:
    """A service on that file."""
    models = copy_models(repository, place.parent / "models", MODEL)
    with serve_file(models, place) as live:
        yield live


@contextmanager
def _full(live: Live, place: Path) -> Iterator[None]:
    """Nothing can be written, not even into what the log has left (test_small_volume.py)."""
    pid = live.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def _locked(live: Live, place: Path) -> AbstractContextManager[None]:
    """Somebody else writes, and takes his time."""
    return locked(place)


@pytest.mark.parametrize("away", [_full, _locked], ids=["full", "locked"])
def test_service_resumes_when_the_file_can_be_written(
    service: Live, place: Path, served: dict[str, Served], away: Away
) -> None:
    """503 with Retry-After meanwhile, and whether the step counts is unknown; probes say so after
    some seconds. Then the position rules hold: the retry runs or is replayed.
    """
    http = service.client
    name = away.__name__.strip("_")
    client = Client(http, name)
    open_session(http, name)
    client.step(STEPS[0], position=0)
    with away(service, place):
        _check_refused(client, place)
        service.wait_for("the session store is away")
        ready = http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "store unavailable")
        assert http.get("/livez").status_code == 200
        assert "carousel_store_up 0" in http.get("/metrics").text
        # What is there can be read all the while.
        assert client.position == 1
    service.wait_for("the session store is back")
    assert http.get("/readyz").status_code == 200
    assert "carousel_store_up 1" in http.get("/metrics").text
    expect_lstm(served, client.step(STEPS[1], position=1)["outputs"], *STEPS[:2])
    expect_lstm(served, client.step(STEPS[2], position=2)["outputs"], *STEPS[:3])
    problem = refused(client.post(STEPS[3], position=1), 409, "position_conflict")
    assert problem["position"] == 3
    open_session(http, name + "-new")


def _check_refused(client: Client, place: Path) -> None:
    """A step and an open at once: each is refused, within the time that a lock is waited for."""
    with ThreadPoolExecutor(2) as pool:
        stepping = pool.submit(client.post, STEPS[1], position=1)
        body = {"model": MODEL, "session_id": client.id + "-new"}
        opening = pool.submit(client.http.post, "/v1/sessions", json=body)
    assert refused(stepping.result(), 503, "store_unavailable")["advanced"] == "unknown"
    refused(opening.result(), 503, "store_unavailable")
    for answer in (stepping.result(), opening.result()):
        assert int(answer.headers["retry-after"]) > 0
        assert str(place) not in answer.text


def test_a_short_lock_is_waited_for(service: Live, place: Path, served: dict[str, Served]) -> None:
    """A copy that is being made, or a look with a tool, costs a step some time and nothing else."""
    open_session(service.client, "short")
    client = Client(service.client, "short")
    with ThreadPoolExecutor(1) as pool, locked(place):
        stepping = pool.submit(client.post, STEPS[0], position=0)
        # Without a write: this is answered meanwhile.
        assert client.http.get("/v1/sessions").status_code == 200
    answer = stepping.result()
    assert answer.status_code == 200, answer.text
    assert "carousel-replayed" not in answer.headers
    expect_lstm(served, answer.json()["outputs"], STEPS[0])
    assert service.client.get("/readyz").status_code == 200
