"""A WebSocket client for tests: streams over a real socket, and what comes on them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.harness.client import MODEL
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S
from tests.harness.served import Floats

F = 10


Ws = ClientConnection


@contextmanager
def stream(live: Live, path: str, **options: Any) -> Iterator[tuple[Ws, dict[str, Any]]]:
    """A stream and its greeting."""
    url = live.url.replace("http://", "ws://") + path
    with connect(url, compression=None, max_size=None, **options) as ws:
        yield ws, receive(ws)


def receive(ws: Ws) -> dict[str, Any]:
    """The next text message."""
    data = ws.recv(timeout=PATIENCE_S)
    assert isinstance(data, str), "a binary message came"
    found: dict[str, Any] = json.loads(data)
    return found


def receive_raw(ws: Ws) -> Floats:
    """The next binary message: (T, 20)."""
    data = ws.recv(timeout=PATIENCE_S)
    assert isinstance(data, bytes), data
    return np.frombuffer(data, "<f4").reshape(-1, 20)


def closed(ws: Ws) -> int:
    """The close code, after whatever still comes."""
    with suppress(ConnectionClosed):
        for _ in ws:
            pass
    assert ws.close_code is not None
    return ws.close_code


def open_session(live: Live, **more: object) -> str:
    """A session of the LSTM."""
    answer = live.client.post("/v1/sessions", json={"model": MODEL, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["session_id"])


def position(live: Live, session_id: str) -> int:
    """Where a session stands."""
    return int(live.client.get(f"/v1/sessions/{session_id}").json()["position"])


def inputs(*shape: int, seed: int = 0) -> Floats:
    """Something to send."""
    return np.random.default_rng(seed).standard_normal((*shape, F), np.float32)
