"""How streams end: their close codes."""

from enum import IntEnum

from carousel.service.errors import (
    CarouselError,
    Draining,
    Forbidden,
    NotFound,
    NotText,
    PayloadTooLarge,
    SessionExpired,
    Unauthorized,
    Unavailable,
)


class Close(IntEnum):
    """WebSocket close codes; those from 4000 are our own, after the HTTP status."""

    NORMAL = 1000
    GOING_AWAY = 1001
    # Never on the wire: how a close frame without a code is read, as of a browser's close().
    NO_CODE = 1005
    NOT_TEXT = 1007
    TOO_LARGE = 1009
    INTERNAL = 1011
    RESTARTING = 1012
    TRY_AGAIN = 1013
    REFUSED = 4400
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    NOT_FOUND = 4404
    TAKEN_OVER = 4409
    EXPIRED = 4410


# What the client closes with when it is done with a session that was opened for its stream.
DONE = frozenset({Close.NORMAL, Close.GOING_AWAY, Close.NO_CODE})

_BY_ERROR: tuple[tuple[type[CarouselError], Close], ...] = (
    (Draining, Close.RESTARTING),
    (Unavailable, Close.TRY_AGAIN),
    (Unauthorized, Close.UNAUTHORIZED),
    (Forbidden, Close.FORBIDDEN),
    (NotText, Close.NOT_TEXT),
    (NotFound, Close.NOT_FOUND),
    (SessionExpired, Close.EXPIRED),
    (PayloadTooLarge, Close.TOO_LARGE),
)


def close_for(error: CarouselError) -> Close:
    """The code for a stream that could not be opened, or cannot go on."""
    for kind, code in _BY_ERROR:
        if isinstance(error, kind):
            return code
    return Close.INTERNAL if error.code == "internal" else Close.REFUSED


def ends_stream(error: CarouselError) -> bool:
    """Whether a refused step means that no other can work: there is no session any more, or the
    client's text is none (RFC 6455, section 8.1).
    """
    return isinstance(error, NotFound | NotText | SessionExpired)
