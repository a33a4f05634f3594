"""Carries plans out: httpx, and waiting by sleeping. Safe to use from several threads."""

import time

import httpx

from carousel_client.endpoint import Endpoint
from carousel_client.errors import BadAnswer, CarouselError, ConnectionLost
from carousel_client.plan import Plan, T, Wait


class Wire:
    """The connections to one server."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._http = httpx.Client(
            timeout=endpoint.timeout,
            limits=endpoint.limits,
            verify=endpoint.verify,
        )

    def __repr__(self) -> str:
        return f"<Wire {self.endpoint.url}>"

    def run(self, plan: Plan[T]) -> T:
        """What the plan returns."""
        try:
            todo = next(plan)
            while True:
                if type(todo) is Wait:
                    time.sleep(todo.seconds)
                    todo = plan.send(None)
                    continue
                assert isinstance(todo, httpx.Request)
                try:
                    response = self._http.send(todo)
                except httpx.RequestError as error:
                    todo = plan.throw(unanswered(error, self.endpoint.url))
                else:
                    todo = plan.send(response)
        except StopIteration as end:
            found: T = end.value
            return found

    def close(self) -> None:
        """End all connections."""
        self._http.close()


def unanswered(error: httpx.RequestError, url: str) -> CarouselError:
    """The error of a request to the server at `url` that got no answer, or none that can be read;
    what no second attempt can mend goes on as it is.
    """
    if isinstance(error, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        raise error
    found: CarouselError
    if isinstance(error, httpx.TransportError):
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        unreached = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        hint = f"is there a server at {url}?" if unreached else None
        found = ConnectionLost(said, hint=hint)
        found.unreached = unreached
        found.timed_out = isinstance(error, httpx.TimeoutException) and not unreached
    else:
        found = BadAnswer(f"the answer cannot be read: {error}")
    found.__cause__ = error
    return found
