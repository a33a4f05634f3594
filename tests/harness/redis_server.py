"""A real Redis server on a free port, for as long as what is kept there is needed."""

import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest
from redis import Redis

from tests.harness.process import Process, ProcessError, free_port

_READY = "Ready to accept connections"


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


def require_redis() -> None:
    """Skip the test where there is no Redis."""
    try:
        find_redis()
    except RedisMissing as missing:
        pytest.skip(str(missing))


class RedisServer:
    """A server whose data is in `folder`; ended by its process id, whatever happens meanwhile.

    `arguments` are settings as on its command line, and win over those it has here: an append-only
    file, no snapshots, this machine only. `mark`: as of a `Process`.
    """

    def __init__(self, folder: Path, *arguments: str, mark: Path | None = None) -> None:
        self.port = free_port()
        self._folder = folder.resolve()
        self._arguments = [
            *("--bind", "127.0.0.1", "--dir", str(self._folder), "--appendonly", "yes"),
            *("--save", "", *arguments),
        ]
        self._mark = mark
        self._process: Process | None = None

    def __repr__(self) -> str:
        return f"<RedisServer {self.url}>"

    @property
    def url(self) -> str:
        """Its address, without a password."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of its process; it runs."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self.start()
        except ProcessError:
            # Somebody may have taken the port, or the one that a cluster takes beside it.
            self.port = free_port()
            self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()

    def start(self) -> None:
        """Start it, also again after its end, on the same port and data; ready when this returns.

        Raises ProcessError, RedisMissing.
        """
        assert self._process is None
        command = [find_redis(), *self._arguments, "--port", str(self.port)]
        process = Process(command, mark=self._mark)
        try:
            process.wait_for_printed(_READY)
        except BaseException:
            process.kill()
            raise
        self._process = process

    def kill(self) -> None:
        """End it without notice (SIGKILL)."""
        self._take().kill()

    def stop(self) -> None:
        """End it once it has written and synced what its append-only file lacks (SIGTERM)."""
        self._take().stop()

    def pause(self) -> None:
        """Let it answer nothing, connections staying as they are."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, with whatever was sent meanwhile."""
        self._signal(signal.SIGCONT)

    def client(self) -> "Redis":
        """A client of the test's own, to look and meddle behind the store's back."""
        return Redis(host="127.0.0.1", port=self.port)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.signal(number)

    def _take(self) -> Process:
        process, self._process = self._process, None
        assert process is not None
        return process
