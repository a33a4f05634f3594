"""ASGI's messages: an answer as messages, a body that was read as one, and what a scope says."""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from carousel.service.api.http.answer import LAST_ANSWER, Answer, Header
from carousel.service.api.http.disconnect_watcher import Receive
from carousel.service.api.http.lifecycle import Lifecycle, Phase
from carousel.service.errors import MethodNotAllowed

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class SentAnswer:
    """Passes an answer on, with more headers, and remembers its status; 0 until there is one."""

    def __init__(self, send: Send, lifecycle: Lifecycle, headers: Sequence[Header]) -> None:
        self._send = send
        self._headers = headers
        self._lifecycle = lifecycle
        self.status = 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._headers]
            if self._lifecycle.phase is Phase.REFUSING:
                message["headers"].append(LAST_ANSWER)
        await self._send(message)


def require_post(method: str) -> None:
    if method != "POST":
        raise MethodNotAllowed(f"{method} given; expected POST", allow="POST")


def as_get(scope: Scope) -> Scope:
    """HEAD is answered as GET; the server leaves the body out."""
    if scope["method"] == "HEAD":
        scope = dict(scope, method="GET")
    return scope


def replay_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body first."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> MutableMapping[str, Any]:
        return messages.pop() if messages else await receive()

    return replay


def template_of(scope: Scope) -> str:
    """The route as the schema names it: paths as clients wrote them would be labels without end."""
    route = scope.get("route")
    return getattr(route, "path", "unmatched")


async def send_answer(answer: Answer, send: Send) -> None:
    answer.headers.append((b"content-length", b"%d" % len(answer.body)))
    start = {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body})
