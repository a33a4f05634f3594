"""The head of a request: its target and its headers, and what is refused of it before all else.

llhttp reads heads and leaves this open: several Host lines or none, codings before the last one.
Source: RFC 9112, sections 3.2 and 6.1.
"""

import re
from urllib.parse import unquote

import httptools

from carousel.service.api.http.answer import Header
from carousel.service.errors import Malformed

# So that the headers of a head as long as it may be take little more memory than its bytes.
MAX_HEADERS = 128

# How the paths of steps end.
_DIRECT = (b"/steps", b"/infer")
_ENCODED_SLASH = re.compile("%2[fF]")


class Head:
    """What comes in front of a body. What comes behind one, as trailers, is no part of it."""

    # What stands so until it is said otherwise: one is made for each request.
    method = b""
    target = b""
    version = "1.1"
    keep_alive = True
    expects_continue = False

    def __init__(self) -> None:
        # By their names in lower case.
        self.headers: list[Header] = []

    def __repr__(self) -> str:
        return f"<Head {self.method!r} {self.target!r} headers={len(self.headers)}>"

    def end(self, method: bytes, version: str, keep_alive: bool) -> None:
        """It is whole; raises Malformed."""
        self.method, self.version = method, version
        # What HTTP/1.0 has of it is asked for by few, and told otherwise by each.
        self.keep_alive = keep_alive and version == "1.1"
        if len(self.headers) > MAX_HEADERS:
            raise self.too_many()
        num_hosts = 0
        for name, value in self.headers:
            if name == b"host":
                num_hosts += 1
            elif name == b"transfer-encoding" and value.lower() != b"chunked":
                raise Malformed("Transfer-Encoding: chunked is the one that is known here")
            elif name == b"expect" and value.lower() == b"100-continue":
                self.expects_continue = True
        if num_hosts != 1 and (num_hosts or version == "1.1"):
            raise Malformed(f"Host: given {num_hosts} times; expected once")

    def too_many(self) -> Malformed:
        """What is said of more headers than there may be."""
        return Malformed(f"more than {MAX_HEADERS} headers given")

    @property
    def may_be_direct(self) -> bool:
        """Whether it may be of a step that is answered without a task; the gate knows which are."""
        target = self.target
        return (
            target.endswith(_DIRECT)
            and self.method == b"POST"
            and self.keep_alive
            and not self.expects_continue
            and b"%" not in target
            and b"?" not in target
        )

    def parts(self) -> tuple[str, bytes, bytes]:
        """The path as it is meant, the path as it came, and the query; raises Malformed."""
        try:
            url = httptools.parse_url(self.target)
            path = url.path.decode("ascii")
        except (httptools.HttpParserError, AttributeError, UnicodeDecodeError):
            raise Malformed("the target is not a path") from None
        if "%" in path:
            # A slash that was written as %2F parts nothing, and stands for no name that there is.
            path = unquote(_ENCODED_SLASH.sub("%252F", path))
        return path, url.path, url.query or b""

    def values(self, name: bytes) -> list[bytes]:
        """What the lines of a header say, in lower case."""
        return [value.lower() for each, value in self.headers if each == name]
