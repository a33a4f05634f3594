"""From what went wrong to a typed error: problem+json over HTTP, refusals and ends of streams."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from carousel_client.errors import (
    CarouselError,
    Conflict,
    ConnectionLost,
    Forbidden,
    InvalidRequest,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    SessionExpired,
    SessionNotFound,
    TakenOver,
    Unauthorized,
    Unavailable,
    UnsupportedMediaType,
)

_NAMED = frozenset({"type", "title", "status", "code", "detail", "hint", "advanced"})
# What a proxy says of a server that it cannot reach just now.
_GATEWAY = frozenset({502, 503, 504})
# What a status alone says, from whoever it comes.
_BY_STATUS: dict[int, type[CarouselError]] = {
    **{
        kind.status: kind
        for kind in (
            *(Unauthorized, Forbidden, NotFound, MethodNotAllowed, NotAcceptable, Conflict),
            *(PayloadTooLarge, UnsupportedMediaType, InvalidRequest, RateLimited),
        )
    },
    **dict.fromkeys(_GATEWAY, Unavailable),
}
_NOT_OURS = "this is no answer of Carousel's own: check the address, and what stands between"
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
    except (ValueError, RecursionError):
        members = None
    is_foreign = not isinstance(members, dict) or not isinstance(members.get("code"), str)
    if is_foreign:
        text = response.text[:200] if response.content else response.reason_phrase
        members = {"detail": f"HTTP {response.status_code}: {text}", "hint": _NOT_OURS}
    if response.status_code in _GATEWAY and members.get("code") not in _BY_CODE:
        # A proxy says so too where the server did it all and only the answer was lost.
        members.setdefault("advanced", "unknown")
    members["status"] = response.status_code
    error = make_error(members, _retry_after_s(response.headers))
    error.is_foreign = is_foreign
    return error


def make_error(members: Mapping[str, Any], retry_after_s: float | None = None) -> CarouselError:
    """The error that the members of a problem describe."""
    status = members.get("status")
    status = status if isinstance(status, int) else 0
    code = members.get("code")
    kind = _BY_CODE.get(code) if isinstance(code, str) else None
    error = (kind or _BY_STATUS.get(status, CarouselError))(
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


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """Retry-After, which is a number of seconds or a date."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text)
    then = _date(text)
    if then is None:
        return None
    # By the clock of who says it; this machine's may be off.
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _all(kind: type[CarouselError]) -> Iterator[type[CarouselError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _all(each)


_BY_CODE = {each.code: each for each in _all(CarouselError)}
