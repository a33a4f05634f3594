"""Bytes to requests: head, body, end, in the words of whoever takes them.

llhttp parses. It bounds neither the length of a head, of trailers and of what stands between chunks
nor the time they take, so that is done here.
"""

import time
from collections import deque
from collections.abc import MutableSequence, Sequence
from typing import Protocol

import httptools

from carousel.service.api.http.answer import Header
from carousel.service.api.server.head import MAX_HEADERS, Head
from carousel.service.errors import Malformed, MethodNotAllowed

# Of a head, of trailers, of whatever else comes between two pieces of a body.
MAX_HEAD_BYTES = 64 * 1024
HEAD_TIMEOUT_S = 30.0
# So much is parsed at once: it bounds how many small requests are found before one is answered.
SLICE_BYTES = 4096

# What stands behind a body is told to nobody.
_TRAILERS: deque[Header] = deque(maxlen=0)


class Taker(Protocol):
    """Who takes what is read."""

    def begin_request(self) -> None: ...

    def take_body(self, body: bytes) -> None: ...

    def end_request(self) -> None: ...


class RequestReader:
    """Of one connection. What has no docstring is called by the parser."""

    def __init__(self, taker: Taker) -> None:
        self._taker = taker
        self.head = Head()
        # Where headers go: into the head, or nowhere.
        self._headers: MutableSequence[Header] = _TRAILERS
        # When the present head began, None while there is none.
        self._head_since: float | None = time.monotonic()
        # What came since the last piece of a body, or the end of a request, or a little more.
        self._barren_bytes = 0
        self._start()

    def __repr__(self) -> str:
        return f"<RequestReader {self.head!r}>"

    @property
    def is_in_head(self) -> bool:
        """Whether a head has begun, or could."""
        return self._head_since is not None

    def is_late(self, now: float) -> bool:
        """Whether a head, or the first byte of one, has not come in time."""
        return self._head_since is not None and self._head_since < now - HEAD_TIMEOUT_S

    def read(self, piece: bytes | memoryview) -> int | None:
        """Parse; where a head asks for another protocol, the number of bytes up to its end.

        Raises Malformed.
        """
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            end: int = upgrade.args[0]
            return end
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except httptools.HttpParserError:
            raise Malformed("this is not HTTP/1.1") from None
        self._barren_bytes += len(piece)
        if self._barren_bytes > MAX_HEAD_BYTES or len(self.head.headers) > MAX_HEADERS:
            raise self._too_much()
        return None

    def decline_upgrade(self) -> bytes:
        """The head without its offer of another protocol, to be read again; raises
        MethodNotAllowed.

        Java's HttpClient offers h2c with its first request on a connection; a server declines by
        answering (RFC 9110 section 7.8). llhttp takes what follows such a head for the other
        protocol, and the body would be lost.
        """
        head, method = self.head, self.head.method
        if method == b"CONNECT":
            raise MethodNotAllowed("CONNECT given; this is no proxy", allow="GET, POST")
        headers = [
            each
            for each in head.headers
            if each[0] not in (b"connection", b"upgrade", b"http2-settings")
        ]
        if any(b"close" in value for value in head.values(b"connection")):
            headers.append((b"connection", b"close"))
        self._start()
        return written(method, head.target, headers)

    def end(self) -> None:
        """Nothing more is read; what held each other lets go."""
        del self._parser, self._taker

    def on_message_begin(self) -> None:
        self._head_since = time.monotonic()
        self.head = Head()
        self._headers = self.head.headers

    def on_url(self, url: bytes) -> None:
        self.head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        self._headers = _TRAILERS
        self.head.end(parser.get_method(), parser.get_http_version(), parser.should_keep_alive())
        if not parser.should_upgrade():
            self._taker.begin_request()

    def on_body(self, body: bytes) -> None:
        self._head_since = None
        self._barren_bytes = 0
        self._taker.take_body(body)

    def on_message_complete(self) -> None:
        self._barren_bytes = 0
        if not self._parser.should_upgrade():
            self._head_since = None
            self._taker.end_request()

    def _too_much(self) -> Malformed:
        if len(self.head.headers) > MAX_HEADERS:
            return self.head.too_many()
        what = "headers" if self.is_in_head else "trailers"
        return Malformed(f"the {what} are longer than {MAX_HEAD_BYTES} bytes")

    def _start(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        # What follows the last request on a connection is no reason to refuse that one.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)


def written(method: bytes, target: bytes, headers: Sequence[Header]) -> bytes:
    """A head as it is sent."""
    lines = [b"%b: %b\r\n" % each for each in headers]
    return b"".join([method, b" ", target, b" HTTP/1.1\r\n", *lines, b"\r\n"])
