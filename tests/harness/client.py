"""What a client does with the service, for the tests over a socket."""

from typing import Any

import httpx
import numpy as np

from carousel.models.row import Array

MODEL = "lstm-10-20-2"
ZERO = {"h": np.zeros((2, 20)).tolist(), "c": np.zeros((2, 20)).tolist()}
RAW = {"Content-Type": "application/octet-stream"}
TENSORS = {"Content-Type": "application/x-safetensors"}
TOLERANCE = 1e-5


def numbers(*sizes: int, seed: int = 3) -> Array:
    """The same standard normal numbers at every call."""
    return np.random.default_rng(seed).standard_normal(sizes).astype(np.float32)


def refused(answer: httpx.Response, status: int, code: str) -> Any:
    """The problem that an answer is; it must be this one."""
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    return problem


class Client:
    """One session, by what a client would do with it."""

    def __init__(self, http: httpx.Client, session_id: str) -> None:
        self.http = http
        self.path = f"/v1/sessions/{session_id}"
        self.id = session_id

    def __repr__(self) -> str:
        return f"<Client {self.id}>"

    def step(self, x: Array, **more: Any) -> Any:
        """The answer in JSON to a step that must succeed."""
        answer = self.post(x, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, x: Array, **more: Any) -> httpx.Response:
        """The answer to a step in JSON."""
        return self.http.post(f"{self.path}/steps", json={"inputs": x.tolist(), **more})

    def raw(self, x: Array, **headers: str) -> httpx.Response:
        """The answer to a raw step."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post(f"{self.path}/steps", content=x.tobytes(), headers=RAW | named)

    @property
    def position(self) -> int:
        """Where the service says the session stands."""
        found: int = self.http.get(self.path).json()["position"]
        return found
