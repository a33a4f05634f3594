"""The access log: a line for each request, at debug."""

import logging
from collections.abc import Sequence

from carousel.service.api.http.answer import Header
from carousel.service.api.http.request_id import trace_id_of

log = logging.getLogger("carousel.access")


def logs_access() -> bool:
    """Whether requests are logged, by the level that was set at the start."""
    return log.isEnabledFor(logging.DEBUG)


def log_access(
    method: str, path: str, status: int, elapsed_s: float, named: Sequence[Header]
) -> None:
    """One line; 499 is what is said of a request whose client has gone. `named`: its id headers."""
    headers = dict(named)
    trace_id = trace_id_of(headers)
    log.debug(
        "%s %s %d in %.2f ms, request %s%s",
        method,
        path,
        status,
        1000 * elapsed_s,
        headers[b"x-request-id"].decode("ascii"),
        "" if trace_id is None else f", trace {trace_id}",
    )
