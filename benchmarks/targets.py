"""The three servers under load, each with the requests it takes and the outputs it gives."""

import http.client
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from benchmarks.cases import Case, Floats
from benchmarks.framing import LoadError
from benchmarks.load import Load, Stream
from benchmarks.process import Server

_TYPES = {"json": "application/json", "binary": "application/octet-stream"}


class Target(Protocol):
    """A server, and how a case is put to it."""

    server: Server

    def takes(self, case: Case) -> bool:
        """Whether this server knows the case's encoding."""
        ...

    def open(self, case: Case, keep: Sequence[int], num_kept: int) -> list[Stream]:
        """Fresh sessions, one stream each; the first `num_kept` replies of the sessions in `keep`
        are wanted.
        """
        ...

    def check(self, load: Load) -> None:
        """Raises LoadError if the replies show a step lost or doubled."""
        return

    def decode(self, case: Case, body: bytes) -> Floats:
        """The output of one step out of a reply's body: (H,)."""
        return decode(case, body)

    def close(self) -> None:
        """End the sessions that `open` began."""
        return


class Carousel(Target):
    """The service: ONNX program, whichever store it was started with."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ids: list[str] = []
        self._encoding = "json"

    def takes(self, case: Case) -> bool:
        return True

    def open(self, case: Case, keep: Sequence[int], num_kept: int) -> list[Stream]:
        self._encoding = case.encoding
        self.open_sessions(case.size.model, case.sessions)
        paths = [f"/v1/sessions/{each}/steps" for each in self.ids]
        return http_streams(self.server, case, paths, keep, num_kept)

    def open_sessions(self, model: str, num_sessions: int) -> None:
        """Fresh sessions; `ids` has theirs."""
        for _ in range(num_sessions):
            opened = call(self.server, "POST", "/v1/sessions", {"model": model})
            self.ids.append(str(opened["session_id"]))

    def check(self, load: Load) -> None:
        for count, reply in zip(load.counts, load.last, strict=True):
            position = read_position(self._encoding, reply.head, reply.body)
            if position != count:
                raise LoadError(f"a session answered {count} steps stands at {position}")

    def close(self) -> None:
        for each in self.ids:
            call(self.server, "DELETE", f"/v1/sessions/{each}")
        self.ids.clear()

    def metric(self, name: str, model: str = "") -> float:
        """A sample of /metrics by its full name; `model`: of one model."""
        for line in get_text(self.server, "/metrics").splitlines():
            key, _, value = line.rpartition(" ")
            found, _, labels = key.partition("{")
            if found == name and (not model or f'model="{model}"' in labels):
                return float(value)
        raise LoadError(f"/metrics has no {name} {model and 'of ' + model}")


class Naive(Target):
    """The 30-line FastAPI app; it knows JSON alone."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._opened = 0

    def takes(self, case: Case) -> bool:
        return case.encoding == "json"

    def open(self, case: Case, keep: Sequence[int], num_kept: int) -> list[Stream]:
        base = f"/models/{case.size.model}/sessions"
        first, self._opened = self._opened, self._opened + case.sessions
        paths = [f"{base}/{first + row}/steps" for row in range(case.sessions)]
        return http_streams(self.server, case, paths, keep, num_kept)


class Echo(Target):
    """The bare ASGI callable, answering as many bytes as the service does."""

    def __init__(self, server: Server, reply_bytes: dict[Case, int]) -> None:
        self.server = server
        self._reply_bytes = reply_bytes

    def takes(self, case: Case) -> bool:
        return case in self._reply_bytes

    def open(self, case: Case, keep: Sequence[int], num_kept: int) -> list[Stream]:
        kind = "json" if case.encoding == "json" else "octet"
        path = f"/{self._reply_bytes[case]}/{kind}"
        return http_streams(self.server, case, [path] * case.sessions, (), 0)


def decode(case: Case, body: bytes) -> Floats:
    """The output of one step out of a reply's body: (H,)."""
    if case.encoding == "binary":
        return np.frombuffer(body, "<f4")
    outputs: Floats = np.asarray(orjson.loads(body)["outputs"], np.float32)  # (1, H)
    row: Floats = outputs[0]
    return row


def call(server: Server, method: str, path: str, body: object = None) -> dict[str, Any]:
    """One JSON call outside the load; raises LoadError unless it succeeds."""
    data = b"" if body is None else orjson.dumps(body)
    reply = _request(server, method, path, data)
    result: dict[str, Any] = orjson.loads(reply) if reply else {}
    return result


def get_text(server: Server, path: str) -> str:
    """One GET outside the load."""
    return _request(server, "GET", path, b"").decode()


def _request(server: Server, method: str, path: str, data: bytes) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30.0)
    try:
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        reply = response.read()
    finally:
        connection.close()
    if response.status >= http.HTTPStatus.BAD_REQUEST:
        raise LoadError(f"{method} {path}: {response.status} {reply[:300]!r}")
    return reply


def http_streams(
    server: Server, case: Case, paths: Sequence[str], keep: Sequence[int], num_kept: int
) -> list[Stream]:
    return [
        Stream(
            cycle([_http(server.port, path, case, frame) for frame in frames]),
            num_kept if row in keep else 0,
        )
        for row, (path, frames) in enumerate(zip(paths, case.inputs(), strict=True))
    ]


def _http(port: int, path: str, case: Case, frame: Floats) -> bytes:
    if case.encoding == "binary":
        body = frame.astype("<f4").tobytes()
    else:
        body = orjson.dumps({"inputs": frame[None]}, option=orjson.OPT_SERIALIZE_NUMPY)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: {_TYPES[case.encoding]}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def read_position(encoding: str, head: bytes, body: bytes) -> int:
    """Where a reply says that its session stands; its headers in lower case."""
    if encoding == "json":
        return int(orjson.loads(body)["position"])
    name = b"\r\ncarousel-position: "
    at = head.find(name)
    if at < 0:
        raise LoadError("a binary reply without Carousel-Position")
    return int(head[at + len(name) :].split(b"\r\n", 1)[0])


def serve_arguments(repository: Path, store: str = "memory") -> tuple[str, ...]:
    """How the service is started for all measurements."""
    service = ("carousel.service", "--host", "127.0.0.1", "--store", store, "--program", "onnx")
    return (*service, "--model-repository", str(repository.resolve()))


def make_servers(repository: Path, logs: Path) -> tuple[Server, Server, Server]:
    """Carousel, echo and naive, not yet started."""
    return (
        Server("carousel", serve_arguments(repository), "/readyz", logs / "carousel.log"),
        Server("echo", ("benchmarks.echo",), "/0/json", logs / "echo.log"),
        Server("naive", ("benchmarks.naive",), "/readyz", logs / "naive.log"),
    )
