"""Where one reply ends and the next begins: over HTTP, and over WebSocket."""

import base64
import os
import socket
from typing import NamedTuple, Protocol

_CONNECT_S = 30.0
_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length: "
_LENGTH_16, _LENGTH_64 = 126, 127


class LoadError(Exception):
    """The load could not be run; the message says what the server did."""


class Span(NamedTuple):
    """One reply within what has come in: its body, which ends where the reply ends."""

    start: int
    end: int


class Framing(Protocol):
    """How the replies of a connection are told apart."""

    def span(self, data: bytes) -> Span | None:
        """The first reply; None while it is not whole. Raises LoadError for what is no reply."""
        ...

    def is_good(self, data: bytes) -> bool:
        """Whether a reply is no error."""
        ...


class HttpFraming:
    """Replies of HTTP/1.1, each with its length."""

    def span(self, data: bytes) -> Span | None:
        end = data.find(_END)
        if end < 0:
            return None
        start = end + len(_END)
        stop = start + _content_length(data, end)
        return Span(start, stop) if len(data) >= stop else None

    def is_good(self, data: bytes) -> bool:
        return data.startswith(b"HTTP/1.1 200")


class WebSocketFraming:
    """Unfragmented data frames of RFC 6455; binary ones are replies, a text is an error."""

    _BINARY, _TEXT = 0x82, 0x81

    def span(self, data: bytes) -> Span | None:
        found = message_span(data)
        if found is not None and data[0] not in (self._BINARY, self._TEXT):
            raise LoadError(f"the server sent a frame that is no reply: {data[:200]!r}")
        return found

    def is_good(self, data: bytes) -> bool:
        return data[0] == self._BINARY


def message_span(data: bytes) -> Span | None:
    """The payload of the first frame from a server; None while it is not whole."""
    if len(data) < 2:
        return None
    start, size = 2, data[1]
    if size in (_LENGTH_16, _LENGTH_64):
        start = 4 if size == _LENGTH_16 else 10
        size = int.from_bytes(data[2:start], "big")
    stop = start + size
    return Span(start, stop) if len(data) >= max(start, stop) else None


def binary_message(payload: bytes) -> bytes:
    """A client's binary frame of under 64 KiB; its mask is zero, which leaves the payload as it is.

    Source: RFC 6455, section 5.2.
    """
    size = len(payload)
    assert size < 1 << 16, "a longer one takes another header"
    small = size < _LENGTH_16
    head = bytes([0x82, 0x80 | (size if small else _LENGTH_16)])
    return head + (b"" if small else size.to_bytes(2, "big")) + bytes(4) + payload


def open_stream(port: int, path: str) -> tuple[socket.socket, bytes]:
    """A WebSocket connection to 127.0.0.1 that is past its greeting, and that message."""
    sock = socket.create_connection(("127.0.0.1", port), _CONNECT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    data = b""
    while _END not in data:
        data += _receive(sock, data)
    head, _, data = data.partition(_END)
    if not head.startswith(b"HTTP/1.1 101"):
        raise LoadError(f"{path}: no WebSocket but {head[:300]!r}")
    while (found := message_span(data)) is None:
        data += _receive(sock, data)
    if len(data) != found.end:
        raise LoadError(f"{path}: more than a greeting: {data[:300]!r}")
    sock.setblocking(False)
    return sock, data[found.start :]


def _receive(sock: socket.socket, before: bytes) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise LoadError(f"the server closed a connection after {before[:300]!r}")
    return data


def _content_length(data: bytes, end: int) -> int:
    at = data.find(_LENGTH, 0, end)
    if at < 0:
        at = data[:end].lower().find(_LENGTH)
        if at < 0:
            raise LoadError("a reply without Content-Length")
    at += len(_LENGTH)
    return int(data[at : data.find(b"\r\n", at, end + 2)])
