"""Pages of other sites: which may ask from a browser, and what of an answer they may read."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from starlette.middleware.cors import CORSMiddleware

_READABLE = (
    "Carousel-Position",
    "Carousel-Replayed",
    "ETag",
    "Inference-Header-Content-Length",
    "Location",
    "Retry-After",
    "X-Request-ID",
)
_MAX_AGE_S = 600

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def create_cors(app: Asgi, origins: Sequence[str]) -> Asgi:
    """`app` for pages of `origins` too. No cookie is read, so none has to be allowed."""
    return cast(
        Asgi,
        CORSMiddleware(
            app,
            allow_origins=[each if each == "*" else each.lower() for each in origins],
            allow_methods=["DELETE", "GET", "HEAD", "POST", "PUT"],
            allow_headers=["*"],
            expose_headers=_READABLE,
            max_age=_MAX_AGE_S,
        ),
    )
