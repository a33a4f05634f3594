"""A Redis server for the store's sake: with an append-only file, on the load's core."""

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.process import LOAD_CORE, ServerError, free_port, pinned

_STORE = "carousel.service.sessions.stores.redis.store"
_START_S = 20.0
_POLL_S = 0.02


def why_no_redis() -> str:
    """What is missing for the store to be measured; empty if nothing is."""
    if shutil.which("redis-server") is None:
        return "redis-server is not installed"
    if find_spec("redis") is None:
        return "the package redis is not installed"
    return "" if find_spec(_STORE) else "the service has no such store"


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A server that is up."""

    address: str
    pid: int


@contextlib.contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    """A server that syncs its file once a second, for the length of the body."""
    folder.mkdir(parents=True)
    port = free_port()
    settings = {
        "port": str(port),
        "bind": "127.0.0.1",
        "dir": str(folder.resolve()),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "logfile": "redis.log",
    }
    flags = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with pinned(LOAD_CORE):
        process = subprocess.Popen(["redis-server", *flags], stdin=subprocess.DEVNULL)
    try:
        _wait_ready(process, port)
        yield RedisServer(f"redis://127.0.0.1:{port}/0", process.pid)
    finally:
        process.terminate()
        process.wait(_START_S)


def _wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _START_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > end:
            raise ServerError("redis-server did not start")
        time.sleep(_POLL_S)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as probe:
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")
    except OSError:
        return False
