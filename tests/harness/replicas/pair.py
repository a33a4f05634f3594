"""Two services on one Redis, the first through a proxy that can be told to misbehave: for tests
that put two requests into one certain order.
"""

import http.client
import json
import struct
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.harness.faulty_proxy import FaultyProxy
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S
from tests.harness.redis_server import RedisServer
from tests.harness.witness import WITNESS_MODEL


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `document`: a JSON body, or what the headers and bytes of a raw one say."""

    status: int
    document: Any
    replayed: bool

    @property
    def place(self) -> tuple[int, int]:
        """Where a step's reply says the session stands: position and running sum."""
        assert self.status == 200, self
        return self.document["position"], _number(self.document["outputs"][-1])


class Sent:
    """A request that is on its way on a connection of its own: its bytes are with the service's
    machine, whatever the service does.
    """

    def __init__(
        self, port: int, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        self._connection.request(method, path, body, headers)

    def reply(self) -> Reply:
        """Wait for the answer."""
        answer = self._connection.getresponse()
        body = answer.read()
        self._connection.close()
        replayed = answer.headers.get("carousel-replayed") == "true"
        document: Any = None
        if answer.headers.get("content-type") == "application/octet-stream":
            rows = list(struct.iter_unpack("<2f", body))
            document = {"outputs": rows, "position": int(answer.headers["carousel-position"])}
        elif body:
            document = json.loads(body)
        return Reply(answer.status, document, replayed)


class Pair:
    """A context: `a` behind `proxy`, `b`, and their `redis`, which keeps its data in `folder`."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self._repository = repository
        self._stack = ExitStack()
        self._num_sessions = 0
        self.folder = folder
        self.redis = RedisServer(folder)
        self.proxy = FaultyProxy(self.redis.port)

    def __repr__(self) -> str:
        return f"<Pair {self.redis!r} {self.proxy!r}>"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.redis)
            stack.enter_context(self.proxy)
            urls = self.proxy.url, f"{self.redis.url}/0"
            # Both processes are on their way before the first is waited for.
            self.a, self.b = (stack.push(Live(self._repository, "--store", url)) for url in urls)
            for each in (self.a, self.b):
                each.__enter__()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def open(self) -> "PairSession":
        """A session at zero."""
        self._num_sessions += 1
        session = PairSession(f"p{self._num_sessions}")
        assert session.open(self.b).status == 201
        return session


class PairSession:
    """A session of the witness; each call says which service it is sent to."""

    def __init__(self, session_id: str) -> None:
        self.id = session_id
        self.path = f"/v1/sessions/{session_id}"

    def __repr__(self) -> str:
        return f"<PairSession {self.id}>"

    @property
    def key(self) -> bytes:
        """What only commands about this session hold."""
        return f"/{self.id}\r\n".encode()

    def open(self, live: Live) -> Reply:
        """Open it at zero."""
        return self.send(live, "POST", "/v1/sessions", model=WITNESS_MODEL, session_id=self.id)

    def step(self, live: Live, *values: int, position: int | None = None) -> Reply:
        """A step in JSON, and its answer."""
        return self.begin(live, *values, position=position).reply()

    def begin(
        self, live: Live, *values: int, position: int | None = None, timeout_ms: int = 30_000
    ) -> Sent:
        """A step in JSON that nobody waits for yet."""
        document: dict[str, object] = {"inputs": _rows(values)}
        if position is not None:
            document["position"] = position
        headers = {"Content-Type": "application/json", "X-Request-Timeout-Ms": str(timeout_ms)}
        body = json.dumps(document).encode()
        return Sent(_port(live), "POST", f"{self.path}/steps", body, headers)

    def raw(self, live: Live, *values: int, position: int) -> Reply:
        """A step in raw bytes."""
        headers = {"Content-Type": "application/octet-stream", "Carousel-Position": str(position)}
        body = b"".join(struct.pack("<2f", *row) for row in _rows(values))
        return Sent(_port(live), "POST", f"{self.path}/steps", body, headers).reply()

    def write(self, live: Live, position: int, total: int, **headers: str) -> Sent:
        """A written state that nobody waits for yet."""
        document = {"state": {"h": _rows([total])}, "position": position}
        headers = {"Content-Type": "application/json"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        body = json.dumps(document).encode()
        return Sent(_port(live), "PUT", f"{self.path}/state", body, headers)

    def begin_delete(self, live: Live) -> Sent:
        """The end of it, that nobody waits for yet."""
        return Sent(_port(live), "DELETE", self.path, b"", {})

    def send(self, live: Live, method: str, path: str | None = None, **document: object) -> Reply:
        """Any other call: on the session itself, or at a path."""
        body = json.dumps(document).encode() if document else b""
        headers = {"Content-Type": "application/json"}
        return Sent(_port(live), method, path or self.path, body, headers).reply()

    def place(self, live: Live) -> tuple[int, int]:
        """Position and running sum, as the state that is read says."""
        document = self.send(live, "GET", f"{self.path}/state").document
        return document["position"], _number(document["state"]["h"][0])


def _rows(values: Sequence[int]) -> list[tuple[int, int]]:
    return [(value, 2 * value) for value in values]


def _number(row: Sequence[float]) -> int:
    first, second = row
    assert second == 2 * first, f"{row} mixes two states"
    return int(first)


def _port(live: Live) -> int:
    return int(live.url.rpartition(":")[2])
