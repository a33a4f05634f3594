"""The outermost callable: every request comes in here, and every error leaves here.

Two planes lie behind it. The data plane (steps and inference) is a table of plain callables,
reached without a framework; the control plane is a FastAPI application.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from carousel.service.api.http.access_log import logs_access
from carousel.service.api.http.answer import Answer, Header, Reply
from carousel.service.api.http.authenticator import OPEN_FOLDER, OPEN_PATHS, Authenticator
from carousel.service.api.http.body import Bodies, Disconnected
from carousel.service.api.http.cors import create_cors
from carousel.service.api.http.disconnect_watcher import DisconnectWatcher, Receive
from carousel.service.api.http.exchange import Abandonable, Exchange, deadline_of
from carousel.service.api.http.lifecycle import Lifecycle, Phase
from carousel.service.api.http.problem import unexpected
from carousel.service.api.http.traffic import CLIENT_GONE, Traffic
from carousel.service.api.http.unread import Unread
from carousel.service.api.openapi.nodes import Node
from carousel.service.api.server.admission import Admission, AdmissionDesk, SendAnswer
from carousel.service.api.server.asgi import (
    Scope,
    Send,
    SentAnswer,
    as_get,
    replay_body,
    require_post,
    send_answer,
    template_of,
)
from carousel.service.api.streams.registry import StreamRegistry
from carousel.service.api.v2.fault import error_answer
from carousel.service.engine.request import Abandoned
from carousel.service.errors import CarouselError

Control = Callable[[Scope, Receive, Send], Awaitable[None]]

# What a service answers while it is loading or draining.
_WATCHED_PATHS = OPEN_PATHS | {"/metrics"}


class DataRoute(Protocol):
    """A POST route of the data plane; `paths`, as templates, with what the schema says of each."""

    @property
    def paths(self) -> Mapping[str, Node]: ...

    def begin(self, exchange: Exchange, reply: Reply) -> Abandonable:
        """Begin to answer; `reply` is told once, later, on the loop. Raises CarouselError."""


class _Match:
    """A data route and the words that its path must have between the first and the last part."""

    __slots__ = ("begin", "template", "words")

    def __init__(self, route: DataRoute, template: str) -> None:
        self.begin = route.begin
        self.template = template
        parts = template.split("/")
        self.words = [
            (index, part) for index, part in enumerate(parts[:-1]) if part and part[0] != "{"
        ]


class _Refused:
    """What was refused before it was begun: nothing is left to be abandoned."""

    def abandon(self) -> None:
        """Nothing runs."""


_REFUSED = _Refused()


class Gate:
    """Admits, bounds, dispatches and counts; turns every exception into problem+json."""

    def __init__(
        self,
        routes: Sequence[DataRoute],
        control: Control,
        *,
        authenticator: Authenticator,
        bodies: Bodies,
        lifecycle: Lifecycle,
        traffic: Traffic,
        deadline_s: float,
        streams: StreamRegistry,
        unread: Unread,
        origins: Sequence[str] = (),
    ) -> None:
        # Where WebSockets are taken, and answers told that wait for their reader: the connection
        # asks for both.
        self.streams = streams
        self.unread = unread
        self._routes = {
            (len(parts), parts[1], parts[-1]): _Match(route, template)
            for route in routes
            for template in route.paths
            for parts in [template.split("/")]
        }
        self._control = control
        self._authenticator = authenticator
        self._bodies = bodies
        self._lifecycle = lifecycle
        self._traffic = traffic
        self._deadline_s = deadline_s
        self._watcher = DisconnectWatcher()
        self._admit = partial(Admission, AdmissionDesk(lifecycle, traffic, logs_access()))
        # Preflights are answered by it, and what pages of these origins ask goes through it.
        self._cors = create_cors(self._handle, origins) if origins else None

    def __repr__(self) -> str:
        return f"<Gate {self._lifecycle!r} {self._traffic!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI, HTTP only."""
        assert scope["type"] == "http", scope["type"]
        await (self._handle if self._cors is None else self._cors)(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        match = self._find(path.split("/"))
        headers = dict(scope["headers"])
        if match is None:
            admission = self._admit(method, path, headers)
            await self._call_control(scope, receive, send, headers, admission)
            return
        admission = self._admit(method, path, headers, match.template)
        query = scope["query_string"]
        answer = await self._answer(match, method, path, query, receive, headers, admission)
        if answer is not None:
            await send_answer(answer, send)

    def begin(
        self, path: str, headers: Sequence[Header], body: bytes, send: SendAnswer
    ) -> Abandonable | None:
        """Begin to answer a POST of the data plane that came in one piece; `send` is called later,
        on the loop, with None where the client has gone.

        None for all else, and nothing was begun then: `__call__` answers it.
        """
        match = self._find(path.split("/"))
        if match is None or self._lifecycle.phase is not Phase.READY:
            return None
        if len(body) > self._bodies.max_passing_bytes:
            return None
        fields = dict(headers)
        if self._cors is not None and b"origin" in fields:
            return None
        admission = self._admit("POST", path, fields, match.template)
        return self._begin(match, path, b"", fields, body, admission, send)

    def _begin(
        self,
        match: _Match,
        path: str,
        query: bytes,
        headers: Mapping[bytes, bytes],
        body: bytes,
        admission: Admission,
        send: SendAnswer,
    ) -> Abandonable:
        """Begin to answer what is whole."""
        admission.accept(send)
        try:
            tenant = self._authenticator.admit(headers)
            deadline = deadline_of(headers, admission.started, self._deadline_s)
            exchange = Exchange(tenant, path.split("/"), query, headers, body, deadline)
            return match.begin(exchange, admission.reply)
        except Exception as error:
            asyncio.get_running_loop().call_soon(admission.reply, error)
            return _REFUSED

    def _find(self, parts: list[str]) -> _Match | None:
        if len(parts) < 2:
            return None
        match = self._routes.get((len(parts), parts[1], parts[-1]))
        if match is not None:
            for index, word in match.words:
                if parts[index] != word:
                    return None
        return match

    async def _answer(
        self,
        match: _Match,
        method: str,
        path: str,
        query: bytes,
        receive: Receive,
        headers: Mapping[bytes, bytes],
        admission: Admission,
    ) -> Answer | None:
        """The data plane's answer to what came by ASGI, None if the client is gone."""
        body = b""
        try:
            # Before its body is read.
            self._authenticator.admit(headers)
            require_post(method)
            body = await self._bodies.read(headers, receive)
            self._lifecycle.check()
            return await self._watched(
                lambda send: self._begin(match, path, query, headers, body, admission, send),
                receive,
            )
        except Disconnected:
            return admission.finish(Abandoned())
        except Exception as error:
            return admission.finish(error)
        finally:
            self._bodies.release(body)

    async def _watched(
        self, begin: Callable[[SendAnswer], Abandonable], receive: Receive
    ) -> Answer | None:
        """What comes of what is begun, which is abandoned where its client goes."""
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

        def send(answer: Answer | None) -> None:
            if not future.done():
                future.set_result(answer)

        begun = begin(send)
        task = self._watcher.begin(receive)
        try:
            return await future
        except asyncio.CancelledError:
            begun.abandon()
            if not self._watcher.was_dropped(task):
                raise
            return None
        finally:
            self._watcher.end(task)

    async def _call_control(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Mapping[bytes, bytes],
        admission: Admission,
    ) -> None:
        """The control plane: admitted, bounded and counted as the data plane is."""
        sent, request_id = SentAnswer(send, self._lifecycle, admission.named), admission.request_id
        body, path = b"", scope["path"]
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        try:
            if path not in OPEN_PATHS and not path.startswith(OPEN_FOLDER):
                state["tenant"] = self._authenticator.admit(headers)
            if path not in _WATCHED_PATHS and not path.startswith(OPEN_FOLDER):
                self._lifecycle.check()
            body = await self._bodies.read(headers, receive)
            self._lifecycle.accept()
            try:
                await self._control(as_get(scope), replay_body(body, receive), sent)
            finally:
                self._lifecycle.answered()
        except CarouselError as error:
            await send_answer(error_answer(path, error, request_id), sent)
        except Disconnected:
            pass
        except Exception as error:
            if not sent.status:
                hidden = unexpected(error, where="the control plane", request_id=request_id)
                await send_answer(error_answer(path, hidden, request_id), sent)
        finally:
            self._bodies.release(body)
            admission.count(template_of(scope), sent.status or CLIENT_GONE)
