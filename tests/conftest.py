"""Models exported once, and a service of them started once, for the tests over a socket."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.client import MODEL, Client
from tests.harness.live import Live

if TYPE_CHECKING:
    from tests.harness.served import Served


@pytest.fixture(scope="session")
def served() -> "dict[str, Served]":
    """The modules themselves, by name: where expected values come from."""
    # torch takes a second to import, and most tests do without.
    from tests.harness.served import served_models

    return served_models()


@pytest.fixture(scope="session")
def repository(served: "dict[str, Served]", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model repository with one version of each of them."""
    folder = tmp_path_factory.mktemp("models")
    for each in served.values():
        each.export(folder)
    return folder


@pytest.fixture(scope="session")
def shared_live(repository: Path) -> Iterator[Live]:
    """A service of these models, without a key."""
    with Live(repository) as service:
        yield service


@pytest.fixture
def live(shared_live: Live) -> Iterator[Live]:
    """The same, without sessions: each test's end with it."""
    yield shared_live
    http = shared_live.client
    for each in http.get("/v1/sessions", params={"limit": 1000}).json()["sessions"]:
        http.delete(f"/v1/sessions/{each['session_id']}")


@pytest.fixture
def session(live: Live) -> Client:
    """A fresh session on the LSTM."""
    answer = live.client.post("/v1/sessions", json={"model": MODEL})
    assert answer.status_code == 201, answer.text
    return Client(live.client, answer.json()["session_id"])
