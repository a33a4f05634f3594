"""The operator's tool as its own process, and a stranger that answers it what a test wants."""

import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.process import PATHS, PATIENCE_S, ROOT, Ended, clean_env, run_program
from tests.service.admin.warm import run_warm

PROBLEM = "application/problem+json"


def tool_command(*arguments: str | Path) -> list[str]:
    """The words that start the tool."""
    return [sys.executable, "-m", "carousel.service.admin", *map(str, arguments)]


def run_tool(
    *arguments: str | Path,
    url: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    max_bytes: int | None = None,
) -> Ended:
    """Run the tool to its end; nobody is there to be asked. No file may grow over `max_bytes`."""
    known = PATHS | ({"CAROUSEL_URL": url} if url else {}) | dict(env or {})
    if max_bytes is None:
        return run_warm([*map(str, arguments)], clean_env(known), cwd)
    command = ["sh", "-c", f'ulimit -f {max_bytes // 512}; exec "$@"', "sh"]
    return run_program([*command, *tool_command(*arguments)], known, cwd=cwd)


def line_of(ended: Ended) -> str:
    """The one line that a failure is."""
    assert ended.err.startswith("carousel-sessions: "), ended.err
    assert ended.err.count("\n") == 1, ended.err
    return ended.err.removeprefix("carousel-sessions: ").rstrip("\n")


def http(
    status: int, kind: str, body: bytes, *, length: int | None = None, more: str = ""
) -> bytes:
    """An answer, byte for byte; `length` is what it claims its body to have."""
    head = (
        f"HTTP/1.1 {status} Any\r\nContent-Type: {kind}\r\n{more}"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body


class Stranger:
    """Answers each path of GET with the same bytes, then ends the connection, or holds it."""

    def __init__(self, answers: Mapping[str, bytes], *, holds: bool = False) -> None:
        self.answered = threading.Event()
        self._answers = answers
        self._holds = holds
        self._released = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_S)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._released.set()
        # Wakes a thread that waits for a connection.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE_S)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(65536)
            if not piece:
                return
            head += piece
        path = head.split(b" ", 2)[1].decode()
        body = self._answers.get(path, http(404, "text/html", b"<h1>no such page</h1>"))
        connection.sendall(body)
        if self._holds and path.endswith("/state"):
            self.answered.set()
            self._released.wait(PATIENCE_S)
