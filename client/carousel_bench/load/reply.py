"""Replies of HTTP/1.1, told apart in the bytes of a connection. Pure.

Only what a load needs is read: the status, how long the body is, and whether the connection ends.
httpx reads all of a reply, which takes ten times as long as a small step does.
"""

from dataclasses import dataclass

_END = b"\r\n\r\n"
_MAX_HEAD = 65_536
_NAMED = (b"\r\ncontent-length: ", b"\r\nContent-Length: ")


class BadReply(Exception):
    """It is not HTTP, or in a form that is not read here."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`closes`: there is no other on this connection."""

    status: int
    body: bytes
    closes: bool = False


class ReplyReader:
    """Takes bytes as they come, for one request after another: at most one is unanswered."""

    def __init__(self) -> None:
        self._part = bytearray()
        self._size = 0

    def __repr__(self) -> str:
        return f"<ReplyReader part={len(self._part)} size={self._size}>"

    def feed(self, data: bytes) -> Reply | None:
        """The reply, once it is whole; raises BadReply."""
        if self._part:
            self._part += data
            if len(self._part) < self._size:
                return None
            data = bytes(self._part)
        end = data.find(_END)
        if end < 0:
            if len(data) > _MAX_HEAD:
                raise BadReply("a reply without an end to its head")
            self._wait(data, 0)
            return None
        if not (data.startswith(b"HTTP/1.") and data[9:12].isdigit()):
            raise BadReply("what answers does not speak HTTP/1.1")
        begin = end + len(_END)
        size = begin + _content_length(data, end)
        if len(data) < size:
            self._wait(data, size)
            return None
        if len(data) > size:
            raise BadReply("more than a reply came")
        self._part.clear()
        self._size = 0
        closes = data.find(b"onnection: close", 0, end) >= 0
        return Reply(int(data[9:12]), data[begin:], closes)

    def _wait(self, data: bytes, size: int) -> None:
        if not self._part:
            self._part += data
        self._size = size


def _content_length(data: bytes, end: int) -> int:
    for name in _NAMED:
        at = data.find(name, 0, end)
        if at >= 0:
            break
    else:
        name = _NAMED[0]
        at = data[:end].lower().find(name)
        if at < 0:
            raise BadReply("a reply without Content-Length: does a proxy rewrite it?")
    digits = data[at + len(name) : data.find(b"\r\n", at + 2, end + 2)]
    if not digits.strip().isdigit():
        raise BadReply("a reply whose Content-Length is no number")
    return int(digits)
