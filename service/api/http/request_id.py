"""What a request is called, in its answer and in the log: by its client, or else by us.

`traceparent` is W3C Trace Context's: it goes back as it came, and its trace stands in the log.
"""

import itertools
import re
import secrets
from collections.abc import Mapping

from carousel.service.api.http.answer import Header

_GIVEN = re.compile(rb"[!-~]{1,128}")
_TRACE = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
# Random at the start and counted from there: a tenth of the time of a random number each.
_PREFIX = secrets.token_hex(6)
_numbers = itertools.count(1)


def request_id_of(headers: Mapping[bytes, bytes]) -> str:
    """The client's X-Request-ID where it can stand in a log, else one of our own."""
    given = headers.get(b"x-request-id")
    if given is not None and _GIVEN.fullmatch(given):
        return given.decode("ascii")
    return f"{_PREFIX}-{next(_numbers):x}"


def trace_id_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The trace that a request belongs to, where it says so."""
    found = _TRACE.fullmatch(headers.get(b"traceparent", b""))
    return None if found is None else found[1].decode("ascii")


def id_headers(request_id: str, headers: Mapping[bytes, bytes]) -> list[Header]:
    """What an answer says of it."""
    own: list[Header] = [(b"x-request-id", request_id.encode("ascii"))]
    if b"traceparent" in headers and trace_id_of(headers) is not None:
        own.append((b"traceparent", headers[b"traceparent"]))
    return own
