"""The whole service on a session file: what clients are told of damage, its settings, its end."""

import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

import httpx
import numpy as np
import pytest

from carousel.models.row import Array
from tests.harness.client import MODEL, ZERO, Client, numbers, refused
from tests.harness.durable import copy_models, expect_lstm, find_row, flip, open_session, serve_file
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S
from tests.harness.served import Served

GRU = "gru-10-20-2"
STEPS = [numbers(1, 10, seed=seed) for seed in range(3)]  # (T, F) each
# What would tell a client how the service is made.
INTERNALS = re.compile(r"/|sqlite|apsw|Error|Exception|Traceback|0x", re.IGNORECASE)


@pytest.fixture(scope="module")
def models(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two models."""
    return copy_models(repository, tmp_path_factory.mktemp("two"), MODEL, GRU)


@pytest.fixture(scope="module")
def damaged(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service whose session `hurt` was damaged while it was down, and `well` was not."""
    path = tmp_path_factory.mktemp("damaged") / "s"
    with serve_file(models, path) as live:
        for each in ("hurt", "well"):
            open_session(live.client, each)
            Client(live.client, each).step(STEPS[0], position=0)
        live.signal(signal.SIGTERM)
        assert live.wait() == 0
    flip(path, find_row(path, 1).columns["head"] + 20)
    with serve_file(models, path) as live:
        yield live


def test_clients_are_told_of_damage_and_what_to_do(damaged: Live) -> None:
    """500 state_corrupt for whatever is asked of the session; nothing of files or classes."""
    http = damaged.client
    hurt = Client(http, "hurt")
    state = {"state": ZERO, "position": 0}
    for answer in (
        hurt.post(STEPS[1], position=1),
        hurt.raw(STEPS[1]),
        http.get(hurt.path),
        http.get(f"{hurt.path}/state"),
        http.put(f"{hurt.path}/state", json=state),
        http.post(f"{hurt.path}/fork", json={"count": 2}),
        http.post(f"{hurt.path}/reset"),
        http.post("/v1/sessions", json={"model": MODEL, "session_id": "hurt"}),
        http.delete(hurt.path, headers={"If-Match": '"00"'}),
    ):
        problem = refused(answer, 500, "state_corrupt")
        assert problem["hint"]
        assert not INTERNALS.search(problem["detail"] + problem["hint"]), problem
    assert refused(hurt.post(STEPS[1]), 500, "state_corrupt")["advanced"] is False


def test_damage_is_nobody_elses(damaged: Live, served: dict[str, Served]) -> None:
    """In one request with it another session is stepped; it is listed, and probes say all is
    well.
    """
    http = damaged.client
    steps = [
        {"session_id": each, "inputs": STEPS[1].tolist(), "position": 1}
        for each in ("hurt", "well")
    ]
    hurt, well = http.post("/v1/steps", json={"steps": steps}).json()["results"]
    assert (hurt["error"]["code"], hurt["error"]["advanced"]) == ("state_corrupt", False)
    expect_lstm(served, well["outputs"], *STEPS[:2])
    listed = http.get("/v1/sessions").json()["sessions"]
    assert [each["session_id"] for each in listed] == ["well"]
    assert http.get("/readyz").status_code == 200
    assert "carousel_store_up 1" in http.get("/metrics").text
    assert "carousel_store_failures_total 0" in http.get("/metrics").text


def test_a_damaged_session_makes_room(damaged: Live, served: dict[str, Served]) -> None:
    """DELETE, and its id is opened again at the beginning."""
    http = damaged.client
    assert http.delete("/v1/sessions/hurt").status_code == 204
    refused(http.get("/v1/sessions/hurt"), 404, "session_not_found")
    assert open_session(http, "hurt")["position"] == 0
    expect_lstm(served, Client(http, "hurt").step(STEPS[2])["outputs"], STEPS[2])


def test_a_models_sessions_may_stay_in_memory(
    models: Path, tmp_path: Path, served: dict[str, Served]
) -> None:
    """They are gone after a restart, the others are not; an id is one session's over both. And a
    store that waits for the disk serves like any other.
    """
    arguments = (models, tmp_path / "s", "--model-store", f"{GRU}=memory", "--durability", "disk")
    with serve_file(*arguments) as live:
        for name, model in (("kept", MODEL), ("light", GRU)):
            open_session(live.client, name, model=model)
            Client(live.client, name).step(STEPS[0], position=0)
            for other in (MODEL, GRU):
                taken = live.client.post("/v1/sessions", json={"model": other, "session_id": name})
                assert refused(taken, 409, "session_exists")["session"]["model"] == model
        listed = live.client.get("/v1/sessions").json()["sessions"]
        assert [each["session_id"] for each in listed] == ["kept", "light"]
        assert live.client.get("/v1/sessions", params={"model": GRU}).json()["sessions"] == [
            listed[1]
        ]
        live.signal(signal.SIGKILL)
        live.wait()
    with serve_file(*arguments) as live:
        refused(live.client.get("/v1/sessions/light"), 404, "session_not_found")
        expect_lstm(served, Client(live.client, "kept").step(STEPS[1])["outputs"], *STEPS[:2])
        open_session(live.client, "light")


@dataclass(slots=True)
class Stream:
    """One client's steps: how many were acknowledged, and how the next one ended. `warm`: set after
    some.
    """

    session_id: str
    acknowledged: int = 0
    refused: str = ""
    warm: Event = field(default_factory=Event)

    @property
    def next(self) -> Array:
        """The step after the last that was acknowledged, (1, F): each is another."""
        at = 0.001 * self.acknowledged + int(self.session_id)
        values: Array = np.sin(at + np.arange(10, dtype=np.float32))  # (F,)
        return values[np.newaxis]

    def run(self, url: str) -> None:
        """Step until the service ends."""
        with httpx.Client(base_url=url, timeout=PATIENCE_S) as http:
            while not self.refused:
                try:
                    answer = Client(http, self.session_id).post(
                        self.next, position=self.acknowledged
                    )
                except httpx.TransportError as error:
                    self.refused = type(error).__name__
                    return
                if answer.status_code == 200:
                    assert answer.json()["position"] == self.acknowledged + 1
                    self.acknowledged += 1
                    if self.acknowledged == 5:
                        self.warm.set()
                else:
                    self.refused = answer.json()["code"]


def test_a_drain_under_load_loses_and_doubles_nothing(models: Path, tmp_path: Path) -> None:
    """32 clients step while SIGTERM comes: what was accepted is answered, and the exit code is 0.
    The next process finds each session at its last answer, or for an unanswered step one further,
    and the retry is replayed.
    """
    streams = [Stream(str(index)) for index in range(32)]
    with serve_file(models, tmp_path / "s") as live, ThreadPoolExecutor(len(streams)) as pool:
        for each in streams:
            open_session(live.client, each.session_id)
        running = [pool.submit(each.run, live.url) for each in streams]
        for each in streams:
            assert each.warm.wait(PATIENCE_S), each
        live.signal(signal.SIGTERM)
        for task in running:
            task.result(PATIENCE_S)
        assert live.wait() == 0
        assert "accepted requests left unanswered: 0" in live.logs[-1]
    assert all(each.acknowledged for each in streams)
    with serve_file(models, tmp_path / "s") as live:
        for each in streams:
            client = Client(live.client, each.session_id)
            position = client.position
            lost = position - each.acknowledged
            assert lost in ((0,) if each.refused == "draining" else (0, 1)), each
            again = client.post(each.next, position=each.acknowledged)
            assert again.json()["position"] == each.acknowledged + 1
            assert ("carousel-replayed" in again.headers) is bool(lost)
