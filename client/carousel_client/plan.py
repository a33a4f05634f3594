"""A call as a plan: a generator that yields what is to be done and is sent what came of it.

So each call is written once, without I/O; `wire.py` carries plans out with threads, `async_wire.py`
with asyncio.
"""

import json
import logging
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from carousel_client.errors import BadAnswer, CarouselError, ConnectionLost
from carousel_client.problem import read_problem
from carousel_client.retry import Retry

log = logging.getLogger("carousel_client")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for a while."""

    seconds: float


# A request is answered with its response, or with ConnectionLost thrown in; a wait with None.
Plan = Generator[httpx.Request | Wait, httpx.Response | None, T]


def ask(request: httpx.Request, retry: Retry, *, repeatable: bool = True) -> Plan[httpx.Response]:
    """The answer to a request, once it is one of success. One that is not `repeatable` is sent
    again only where it was not done.

    Raises the server's error, or ConnectionLost when the time for attempts is over. The error's
    `after_loss` says that an attempt before may have been done.
    """
    attempts = retry.begin(time.monotonic())
    while True:
        try:
            response = yield request
            assert response is not None
            status = response.status_code
            if 200 <= status < 300:
                return response
            if status < 400:
                raise BadAnswer(f"HTTP {status} from {request.url}; expected an answer")
            raise read_problem(response)
        except CarouselError as error:
            if not repeatable and _may_be_done(error):
                raise
            wait_s = attempts.wait_s(error, time.monotonic())
            log.info("%s %s again in %.3f s: %s", request.method, request.url.path, wait_s, error)
        yield Wait(wait_s)


def _may_be_done(error: CarouselError) -> bool:
    if isinstance(error, ConnectionLost):
        return not error.unreached
    return error.advanced == "unknown"


def document_of(response: httpx.Response) -> Any:
    """The JSON that an answer is; raises BadAnswer."""
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise BadAnswer("the answer is not JSON") from None
