"""Requests of the official client whose answers were lost, and a server that was."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tritonclient.http import InferenceServerClient as Client
from tritonclient.http import InferenceServerException as Failed

from tests.harness.client import numbers
from tests.harness.live import Live
from tests.harness.served import Served
from tests.service.api.v2.oip import binary_tensor, frame, infer_path
from tests.service.api.v2.oip_client import expect, step, told


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    """The client."""
    client = Client(live.url.removeprefix("http://"))
    yield client
    client.close()


def test_a_step_whose_answer_was_lost_is_sent_again(
    client: Client, live: Live, served: dict[str, Served]
) -> None:
    """With its position it is replayed, and the state moves once; a wrong one is a conflict."""
    x, y, z = (numbers(2, 10, seed=seed) for seed in (21, 22, 23))
    session = told(step(client, x, "lost", sequence_start=True))["session_id"]
    document = {
        "inputs": [binary_tensor("input", y[None])],
        "parameters": {"sequence_id": "lost", "position": 2},
    }
    _send_and_leave(live, *frame(document, y))
    assert live.client.get(f"/v1/sessions/{session}").json()["position"] == 4
    again = step(client, y, "lost", position=2)
    assert (told(again)["replayed"], told(again)["position"]) == (True, 4)
    expect(served, again, x, y)
    for position in (0, 3, 9):
        with pytest.raises(Failed, match=r"position_conflict: .*stands at 4") as caught:
            step(client, z, "lost", position=position)
        assert caught.value.status() == "409"
    expect(served, step(client, z, "lost", position=4), x, y, z)


def _send_and_leave(live: Live, body: bytes, headers: dict[str, str]) -> None:
    """Send a request, and close the connection with the answer's first byte: a step whose client
    had left before it ran would not be run.
    """
    host, port = live.url.removeprefix("http://").split(":")
    head = [f"POST {infer_path()} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    with socket.create_connection((host, int(port))) as line:
        line.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        assert line.recv(1) == b"H"


def test_starts_and_ends_whose_answers_were_lost(client: Client, served: dict[str, Served]) -> None:
    """Named by their positions, both are replayed; the sequence is begun once and ended once."""
    x, y = numbers(2, 10, seed=31), numbers(3, 10, seed=32)
    for replayed in (False, True):
        first = step(client, x, "twice", sequence_start=True, position=0)
        assert told(first)["replayed"] is replayed
        assert "restarted" not in told(first)
        expect(served, first, x)
    for replayed in (False, True):
        last = step(client, y, "twice", sequence_end=True, position=2)
        assert (told(last)["replayed"], told(last)["position"]) == (replayed, 5)
        expect(served, last, x, y)
    with pytest.raises(Failed, match="not_found"):
        step(client, x, "twice", sequence_end=True, position=2)


def test_sequences_outlive_a_restart(
    repository: Path, tmp_path: Path, served: dict[str, Served]
) -> None:
    """Live ones go on; an end that was answered by the first process is replayed by the second."""
    x, y, z = (numbers(2, 10, seed=seed) for seed in (41, 42, 43))
    store = ("--store", f"sqlite:{tmp_path / 'sessions.sqlite'}")
    with Live(repository, *store) as service:
        client = Client(service.url.removeprefix("http://"))
        step(client, x, 1, sequence_start=True)
        session = told(step(client, y, 1))["session_id"]
        step(client, x, "one", sequence_start=True)
        step(client, y, "one", sequence_end=True, position=2)
        client.close()
        service.kill()
    with Live(repository, *store) as service:
        client = Client(service.url.removeprefix("http://"))
        again = step(client, y, "one", sequence_end=True, position=2)
        assert told(again)["replayed"] is True
        expect(served, again, x, y)
        result = step(client, z, 1, position=4)
        assert told(result)["session_id"] == session
        expect(served, result, x, y, z)
        listed = service.client.get("/v1/sessions").json()["sessions"]
        assert [each["session_id"] for each in listed] == [session]
        client.close()
