"""One request of the data plane, as its route needs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qsl

from carousel.service.errors import InvalidRequest, NotFound, UnsupportedMediaType

_MAX_TIMEOUT_MS = 3_600_000
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class Abandonable(Protocol):
    """An answer on its way."""

    def abandon(self) -> None:
        """The client has gone."""


@dataclass(slots=True)
class Exchange:
    """Headers (lower-case names), path parts, query and the whole body of one request, and when it
    must have started, on the monotonic clock.
    """

    tenant: str
    parts: list[str]
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    deadline: float

    @property
    def content_type(self) -> bytes | None:
        """What the body is said to be; raises UnsupportedMediaType where it is compressed."""
        coding = self.headers.get(b"content-encoding", b"identity")
        if coding != b"identity":
            raise UnsupportedMediaType(
                f"Content-Encoding: {coding.decode('latin-1')!r} given; bodies come as they are"
            )
        return self.headers.get(b"content-type")

    @property
    def accept(self) -> bytes | None:
        """What the client said it accepts."""
        return self.headers.get(b"accept")

    def position(self) -> int | None:
        """What the header Carousel-Position says."""
        text = self.headers.get(b"carousel-position")
        return None if text is None else read_position(text)

    def flags(self, **defaults: bool) -> dict[str, bool]:
        """The boolean query parameters that the route has; raises for any other parameter."""
        if not self.query:
            return defaults
        return defaults | read_flags(self.query, defaults)

    def add_flags(self, document: dict[str, Any], **defaults: bool) -> None:
        """Let boolean query parameters be members of a JSON body, which has them too. Pages and
        generated clients send what is usual along, so what is unusual counts, wherever it is said.
        """
        for name, value in self.flags(**defaults).items():
            # What is no boolean stays as it is, and is refused as the body's.
            if value is not defaults[name] and type(document.get(name, value)) is bool:
                document[name] = value


def deadline_of(headers: Mapping[bytes, bytes], arrived: float, usual_s: float) -> float:
    """When a request that came at `arrived` must have started, as it says or as is usual."""
    text = headers.get(b"x-request-timeout-ms")
    return arrived + (usual_s if text is None else read_timeout_ms(text) / 1000)


def read_position(text: bytes) -> int:
    """The number of the header Carousel-Position."""
    if not text.isdigit() or len(text) > 19 or int(text) >= 2**63:
        raise InvalidRequest(
            f"Carousel-Position: {text.decode('latin-1')!r} given; expected an integer of 0 or more"
        )
    return int(text)


def read_timeout_ms(text: bytes) -> int:
    """The number of the header X-Request-Timeout-Ms."""
    if not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= _MAX_TIMEOUT_MS:
        raise InvalidRequest(
            f"X-Request-Timeout-Ms: {text.decode('latin-1')!r} given; "
            f"expected an integer from 1 to {_MAX_TIMEOUT_MS}"
        )
    return int(text)


def read_flags(query: bytes, known: Mapping[str, bool]) -> dict[str, bool]:
    """The flags of a query string; raises InvalidRequest for unknown names and other values."""
    found: dict[str, bool] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "none"
            raise InvalidRequest(f"{name}: unknown query parameter given; expected {expected}")
        if value not in _FLAGS:
            raise InvalidRequest(f"{name}: {value!r} given; expected true or false")
        found[name] = _FLAGS[value]
    return found


def read_version(text: str) -> int:
    """The version of a path; what cannot be one is a path that does not exist."""
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise NotFound(f"{text!r} is not a version: versions are integers")
    return int(text)
