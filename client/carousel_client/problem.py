"""From what went wrong to a typed error: problem+json over HTTP, refusals and ends of streams."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from carousel_client.errors import (
    CarouselError,
    ConnectionLost,
    Forbidden,
    PayloadTooLarge,
    RateLimited,
    SessionExpired,
    SessionNotFound,
    TakenOver,
    Unauthorized,
    Unavailable,
)

_NAMED = frozenset({"type", "title", "status", "code", "detail", "hint", "advanced"})
# What a proxy says of a server that it cannot reach just now.
_GATEWAY = frozenset({502, 503, 504})
_CLOSED: dict[int, type[CarouselError]] = {
    1009: PayloadTooLarge,
    4401: Unauthorized,
    4403: Forbidden,
    4404: SessionNotFound,
    4409: TakenOver,
    4410: SessionExpired,
}
_OWN_CODES = range(4000, 5000)


def read_problem(response: httpx.Response) -> CarouselError:
    """The error that an answer of 400 or more is; it may be a proxy's, in any words."""
    try:
        members = json.loads(response.content)
    except ValueError:
        members = None
    if not isinstance(members, dict) or "code" not in members:
        text = response.text[:200] if response.content else response.reason_phrase
        members = {"detail": f"HTTP {response.status_code}: {text}"}
    members["status"] = response.status_code
    return make_error(members, _seconds(response.headers.get("retry-after")))


def make_error(members: Mapping[str, Any], retry_after_s: float | None = None) -> CarouselError:
    """The error that the members of a problem describe."""
    status = members.get("status", 0)
    code = members.get("code")
    kind = _BY_CODE.get(code) if isinstance(code, str) else None
    error = (kind or _by_status(status))(
        str(members.get("detail", "the server says no more")),
        hint=members.get("hint"),
        advanced=members.get("advanced"),
        fields={name: value for name, value in members.items() if name not in _NAMED},
        retry_after_s=retry_after_s,
    )
    error.status = status
    if isinstance(code, str):
        error.code = code
    return error


def read_failure(error: Exception) -> CarouselError:
    """The error that a stream's failing is: it ended, it broke, or it was never opened."""
    if isinstance(error, ConnectionClosed):
        return ConnectionLost("the connection broke") if error.rcvd is None else _ended(error.rcvd)
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return make_error({"status": status, "detail": f"HTTP {status} in place of a stream"})
    return ConnectionLost(f"{type(error).__name__}: {error}".rstrip(": "))


def _ended(close: Close) -> CarouselError:
    said = f"the server closed the stream with {close.code}"
    said += f": {close.reason}" if close.reason else ""
    if close.code in _CLOSED:
        return _CLOSED[close.code](said)
    return CarouselError(said) if close.code in _OWN_CODES else ConnectionLost(said)


def _by_status(status: int) -> type[CarouselError]:
    if status in _GATEWAY:
        return Unavailable
    return RateLimited if status == RateLimited.status else CarouselError


def _seconds(text: str | None) -> float | None:
    """Retry-After in seconds; a date, which it may be as well, is left to the backoff."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _all(kind: type[CarouselError]) -> Iterator[type[CarouselError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _all(each)


_BY_CODE = {each.code: each for each in _all(CarouselError)}
