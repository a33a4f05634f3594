"""ASGI's messages: an answer as messages, a body that was read as one, and what a scope says."""

from asyncio import Transport
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from carousel.service.api.http.answer import LAST_ANSWER, Answer, Header
from carousel.service.api.http.disconnect_watcher import Receive
from carousel.service.api.http.lifecycle import Lifecycle, Phase
from carousel.service.api.server.head import Head
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


def http_scope(head: Head, transport: Transport) -> Scope:
    """What ASGI calls a request; raises Malformed."""
    path, raw_path, query = head.parts()
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "server": _address(transport, "sockname"),
        "client": _address(transport, "peername"),
        "scheme": "http",
        "method": head.method.decode("ascii"),
        "root_path": "",
        "path": path,
        "raw_path": raw_path,
        "query_string": query,
        "headers": head.headers,
        "state": {},
    }


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


def _address(transport: Transport, which: str) -> tuple[str, int] | None:
    """Of either end of the connection; None for what has none, as a Unix socket."""
    name = transport.get_extra_info(which)
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) else None
