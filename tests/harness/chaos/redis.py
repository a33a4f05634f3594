"""A Redis server of our own, for as long as it is needed."""

import shutil
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.chaos.child import Child

_START_S = 20.0
_POLL_S = 0.02


class RedisMissing(Exception):
    """There is no redis-server on this machine; the message says how to get one."""


def find_redis() -> str:
    """The path of redis-server; raises RedisMissing."""
    found = shutil.which("redis-server") or shutil.which("redis-server", path="/usr/bin")
    if found is None:
        raise RedisMissing(
            "redis-server is not installed (on Debian: apt-get install redis-server)"
        )
    return found


class RedisServer:
    """redis-server on a free port of 127.0.0.1 with an append-only file in `folder`.

    What the folder holds is there again when another one is started on it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.port = _free_port()
        self._child: Child | None = None

    def __repr__(self) -> str:
        return f"<RedisServer port={self.port} {self.folder}>"

    @property
    def url(self) -> str:
        """What the service is told."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(find_redis(), "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(self.folder), "--save", ""),
            *("--appendonly", "yes", "--appendfsync", "everysec"),
        ]
        self._child = child = Child("redis", command, self.folder)
        try:
            self._wait_ready(child)
        except BaseException:
            child.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._child is not None
        # SIGTERM writes and syncs what the append-only file lacks.
        self._child.stop()

    def _wait_ready(self, child: Child) -> None:
        end = time.monotonic() + _START_S
        while not self._answers():
            if child.ended_within(_POLL_S) or time.monotonic() > end:
                raise RuntimeError(f"redis-server did not start:\n{child.log()}")

    def _answers(self) -> bool:
        """Whether it answers, its append-only file read."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as probe:
                probe.sendall(b"PING\r\n")
                return probe.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
