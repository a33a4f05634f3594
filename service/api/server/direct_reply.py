"""The reply to a step that is answered without a task: most of the time of a small step would go
into a task, a scope and a cycle of messages.
"""

from collections.abc import Sequence
from typing import Protocol

from carousel.service.api.http.answer import LAST_ANSWER, Answer, Header
from carousel.service.api.http.exchange import Abandonable
from carousel.service.api.server.cycle import STATUS_LINES


class Connection(Protocol):
    """As much of the connection as is used."""

    @property
    def default_headers(self) -> Sequence[Header]: ...

    def write(self, data: bytes) -> None: ...

    def answered(self, *, is_last: bool) -> None: ...


class DirectReply:
    """One answer that a connection owes."""

    __slots__ = ("_connection", "_gone", "_keep_alive", "_request")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._request: Abandonable | None = None
        self._gone = False
        self._keep_alive = True

    def __repr__(self) -> str:
        return f"<DirectReply gone={self._gone} {self._request!r}>"

    def began(self, request: Abandonable) -> None:
        """The request runs or is about to."""
        self._request = request

    def abandon(self) -> None:
        """The client went away: the request need not run, unless it does already."""
        self._gone = True
        if self._request is not None:
            self._request.abandon()

    def finish(self) -> None:
        """The answer is to be the connection's last."""
        self._keep_alive = False

    def send(self, answer: Answer | None) -> None:
        """Write the answer in one piece; None where nobody is there to read it."""
        # The request leads back here: left in place, this ring would be the garbage collector's.
        self._request = None
        connection = self._connection
        is_last = not self._keep_alive
        if answer is not None and not self._gone:
            if is_last and LAST_ANSWER not in answer.headers:
                answer.headers.append(LAST_ANSWER)
            is_last = is_last or answer.headers[-1] is LAST_ANSWER
            connection.write(render(answer, connection.default_headers))
        connection.answered(is_last=is_last)


def render(answer: Answer, defaults: Sequence[Header]) -> bytes:
    """An answer as it is sent."""
    parts = [STATUS_LINES[answer.status], _rendered.of(defaults)]
    for name, value in answer.headers:
        parts += (name, b": ", value, b"\r\n")
    parts += (b"content-length: %d\r\n\r\n" % len(answer.body), answer.body)
    return b"".join(parts)


class _Rendered:
    """The headers that all answers have, as text: the server makes a list of them once a second."""

    def __init__(self) -> None:
        self._headers: Sequence[Header] = ()
        self._text = b""

    def of(self, headers: Sequence[Header]) -> bytes:
        if headers is not self._headers:
            self._text = b"".join([b"%b: %b\r\n" % header for header in headers])
            self._headers = headers
        return self._text


_rendered = _Rendered()
