"""A real Redis server on a free port, for tests of what is kept there."""

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Self

import pytest
from redis import Redis

PATIENCE_S = 30.0
# Below those that Linux gives to whoever asks for none.
_PORTS = (20_000, 32_000)
_PROGRAM = "redis-server"
_READY = "Ready to accept connections"


def require_redis() -> None:
    """Skip the test where there is no Redis."""
    if shutil.which(_PROGRAM) is None:
        pytest.skip(f"{_PROGRAM} is not installed")


def free_port() -> int:
    """A port of this machine that nobody listens on.

    Not one that the system gives away: between a kill and a start it would be given to others.
    """
    while True:
        port = random.randrange(*_PORTS)
        with socket.socket() as one:
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


class RedisServer:
    """A server whose data is in `folder`; ended by its process id, whatever the test did.

    `arguments` are settings as on its command line, and win over those it has here: an append-only
    file, no snapshots, this machine only.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.port = free_port()
        self._arguments = [
            *(_PROGRAM, "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"),
            *("--save", "", "--daemonize", "no", "--logfile", "", *arguments),
        ]
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lines: Queue[str | None] = Queue()

    def __repr__(self) -> str:
        return f"<RedisServer {self.url}>"

    @property
    def url(self) -> str:
        """Its address, without a password."""
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except AssertionError:
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
        """Start it, also again after `kill`, on the same port and data; ready when this returns."""
        assert self._process is None
        self._process = subprocess.Popen(
            [*self._arguments, "--port", str(self.port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self._wait_until_ready()
        except AssertionError:
            self.kill()
            raise

    def kill(self) -> None:
        """End it without notice (SIGKILL)."""
        process, self._process = self._process, None
        assert process is not None
        assert process.stdout is not None
        process.kill()
        process.wait(PATIENCE_S)
        assert self._reader is not None
        self._reader.join(PATIENCE_S)
        process.stdout.close()

    def pause(self) -> None:
        """Let it answer nothing, connections staying as they are."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, with whatever was sent meanwhile."""
        self._signal(signal.SIGCONT)

    def client(self) -> "Redis":
        """A client of the test's own, to look and meddle behind the store's back."""
        return Redis(host="127.0.0.1", port=self.port)

    def _wait_until_ready(self) -> None:
        said: list[str] = []
        while not said or _READY not in said[-1]:
            try:
                line = self._lines.get(timeout=PATIENCE_S)
            except Empty:
                line = None
            assert line is not None, f"Redis did not start: {said}"
            said.append(line)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)
