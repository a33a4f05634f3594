"""A server that gives the Python client the answers that a test wrote down, one after another."""

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.harness.process import PATIENCE_S


def problem_of(status: int, code: str, **more: Any) -> bytes:
    """A refusal as a service sends it."""
    body = json.dumps({"status": status, "code": code, "detail": "scripted", **more}).encode()
    return answer_of(status, body, "application/problem+json")


def answer_of(status: int, body: bytes, media: str = "application/json", more: str = "") -> bytes:
    """An answer, byte for byte; `more`: header lines, each with its end."""
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {media}\r\nContent-Length: {len(body)}\r\n{more}"
    return head.encode() + b"\r\n" + body


@contextmanager
def scripted(answers: Sequence[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that gives these answers in turn, each on a connection of its own; what it was sent.
    An empty one is an end without an answer.
    """
    seen: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE_S)

    def serve() -> None:
        for each in answers:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE_S)
                seen.append(_request(connection))
                connection.sendall(each)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        thread.join(PATIENCE_S)
        listener.close()


def _request(connection: socket.socket) -> bytes:
    """A whole request: an end before all of it was taken would take the answer with it."""
    data = b""
    while True:
        head, end, body = data.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        if end and len(body) >= int(length or b"0"):
            return data
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
