"""The reply to a step that is answered without a task.

To uvicorn's protocol it stands where a request-response cycle would: pipelined requests queue up
behind it, a lost connection marks it, a server that ends closes the connection after it.
"""

from asyncio import Transport
from collections.abc import Callable, Sequence
from http import HTTPStatus
from types import SimpleNamespace
from typing import Protocol

from uvicorn.server import ServerState

from carousel.service.api.http.answer import LAST_ANSWER, Answer, Header
from carousel.service.api.http.exchange import Abandonable

_STATUS_LINES = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus
}


class Connection(Protocol):
    """As much of the connection as is used."""

    server_state: ServerState

    @property
    def transport(self) -> Transport: ...

    @property
    def write_now(self) -> Callable[[bytes], None]: ...

    def on_response_complete(self) -> None: ...


class DirectReply:
    """One answer that a connection owes. What has no underscore is there for uvicorn."""

    __slots__ = ("_connection", "_request", "disconnected", "keep_alive", "response_complete")

    # What a task would wait on; there is none.
    message_event = SimpleNamespace(set=lambda: None)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._request: Abandonable | None = None
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True

    def __repr__(self) -> str:
        return f"<DirectReply complete={self.response_complete} {self._request!r}>"

    def began(self, request: Abandonable) -> None:
        """The request runs or is about to."""
        self._request = request

    def abandon(self) -> None:
        """The client went away: the request need not run, unless it does already."""
        if self._request is not None:
            self._request.abandoned = True

    def send(self, answer: Answer | None) -> None:
        """Write the answer in one piece; None where nobody is there to read it."""
        self.response_complete = True
        # The request leads back here: left in place, this ring would be the garbage collector's.
        self._request = None
        connection = self._connection
        if answer is not None and not self.disconnected:
            if not self.keep_alive and LAST_ANSWER not in answer.headers:
                answer.headers.append(LAST_ANSWER)
            connection.write_now(_render(answer, connection.server_state.default_headers))
            if answer.headers[-1] is LAST_ANSWER:
                connection.transport.close()
        connection.on_response_complete()


def _render(answer: Answer, defaults: Sequence[Header]) -> bytes:
    parts = [_STATUS_LINES[answer.status], _rendered.of(defaults)]
    for name, value in answer.headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (b"content-length: %d\r\n\r\n" % len(answer.body), answer.body)
    return b"".join(parts)


class _Rendered:
    """The headers that all answers have, as text: uvicorn makes a list of them once a second."""

    def __init__(self) -> None:
        self._headers: Sequence[Header] = ()
        self._text = b""

    def of(self, headers: Sequence[Header]) -> bytes:
        if headers is not self._headers:
            self._text = b"".join([b"%b: %b\r\n" % header for header in headers])
            self._headers = headers
        return self._text


_rendered = _Rendered()
