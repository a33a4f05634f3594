"""The outermost callable: every request comes in here, and every error leaves here.

Two planes lie behind it. The data plane (steps and inference) is a table of plain callables,
reached without a framework; the control plane is a FastAPI application.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from carousel.service.api.http.access_log import log_access, logs_access
from carousel.service.api.http.answer import LAST_ANSWER, Answer, Header, Reply
from carousel.service.api.http.authenticator import OPEN_FOLDER, OPEN_PATHS, Authenticator
from carousel.service.api.http.body import Bodies, Disconnected
from carousel.service.api.http.cors import create_cors
from carousel.service.api.http.disconnect_watcher import DisconnectWatcher, Receive
from carousel.service.api.http.exchange import Abandonable, Exchange
from carousel.service.api.http.lifecycle import Lifecycle, Phase
from carousel.service.api.http.problem import unexpected
from carousel.service.api.http.request_id import id_headers, request_id_of
from carousel.service.api.http.traffic import CLIENT_GONE, Traffic
from carousel.service.api.http.unread import Unread
from carousel.service.api.openapi.nodes import Node
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
from carousel.service.errors import CarouselError

Control = Callable[[Scope, Receive, Send], Awaitable[None]]
Handler = Callable[[Exchange], Awaitable[Answer]]
# Starts an answer that needs no task; None where it needs one, and then nothing was begun.
Begin = Callable[[Exchange, Reply], Abandonable | None]

# What a service answers while it is loading or draining.
_WATCHED_PATHS = OPEN_PATHS | {"/metrics"}


class DataRoute(Protocol):
    """A POST route of the data plane; `paths`, as templates, with what the schema says of each."""

    @property
    def paths(self) -> Mapping[str, Node]: ...

    @property
    def begin(self) -> Begin | None: ...

    async def __call__(self, exchange: Exchange) -> Answer: ...


class _Match:
    """A data route and the words that its path must have between the first and the last part."""

    __slots__ = ("begin", "handler", "template", "words")

    def __init__(self, route: DataRoute, template: str) -> None:
        self.handler: Handler = route
        self.begin = route.begin
        self.template = template
        parts = template.split("/")
        self.words = [
            (index, part) for index, part in enumerate(parts[:-1]) if part and part[0] != "{"
        ]


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
        self._logs = logs_access()
        # Preflights are answered by it, and what pages of these origins ask goes through it.
        self._cors = create_cors(self._handle, origins) if origins else None

    def __repr__(self) -> str:
        return f"<Gate {self._lifecycle!r} {self._traffic!r}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI, HTTP only."""
        assert scope["type"] == "http", scope["type"]
        await (self._handle if self._cors is None else self._cors)(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        parts = scope["path"].split("/")
        match = self._find(parts)
        headers = dict(scope["headers"])
        request_id = request_id_of(headers)
        named = id_headers(request_id, headers)
        if match is None:
            await self._call_control(scope, receive, send, headers, request_id, named)
            return
        started = time.monotonic()
        answer = await self._answer(match, parts, scope, receive, headers, request_id, started)
        status = CLIENT_GONE if answer is None else answer.status
        if answer is not None:
            answer.headers += named
            if self._lifecycle.phase is Phase.REFUSING:
                answer.headers.append(LAST_ANSWER)
            await send_answer(answer, send)
        elapsed_s = time.monotonic() - started
        self._traffic.count(match.template, status, elapsed_s)
        if self._logs:
            log_access(scope["method"], scope["path"], status, elapsed_s, named)

    def begin(
        self, path: str, headers: Sequence[Header], body: bytes, send: Reply
    ) -> Abandonable | None:
        """Start answering a POST that needs no task; `send` is called later, on the loop.

        None where it does not work, for whatever reason: nothing was begun then, and `__call__`
        answers the request or says what is wrong with it.
        """
        parts = path.split("/")
        match = self._find(parts)
        if match is None or match.begin is None or self._lifecycle.phase is not Phase.READY:
            return None
        started = time.monotonic()
        fields = dict(headers)
        request_id = request_id_of(fields)
        # The headers themselves are not kept until the answer: there may be thousands on the way.
        named = id_headers(request_id, fields)

        def reply(answer: Answer | None) -> None:
            status = CLIENT_GONE if answer is None else answer.status
            if answer is not None:
                answer.headers += named
                if self._lifecycle.phase is Phase.REFUSING:
                    answer.headers.append(LAST_ANSWER)
            self._lifecycle.answered()
            elapsed_s = time.monotonic() - started
            self._traffic.count(match.template, status, elapsed_s)
            if self._logs:
                log_access("POST", path, status, elapsed_s, named)
            send(answer)

        if self._cors is not None and b"origin" in fields:
            return None
        try:
            tenant = self._authenticator.admit(fields)
            exchange = Exchange(
                tenant, parts, b"", fields, body, self._deadline_s, started, request_id
            )
            request = match.begin(exchange, reply)
        except CarouselError:
            return None
        if request is not None:
            self._lifecycle.accept()
        return request

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
        parts: list[str],
        scope: Scope,
        receive: Receive,
        headers: Mapping[bytes, bytes],
        request_id: str,
        started: float,
    ) -> Answer | None:
        """The data plane's answer, None if the client is gone."""
        query = scope["query_string"]
        body = b""
        task = None
        try:
            tenant = self._authenticator.admit(headers)
            require_post(scope["method"])
            body = await self._bodies.read(headers, receive)
            if self._lifecycle.phase is not Phase.READY:
                self._lifecycle.check()
            self._lifecycle.accept()
            task = self._watcher.begin(receive)
            return await match.handler(
                Exchange(tenant, parts, query, headers, body, self._deadline_s, started, request_id)
            )
        except CarouselError as error:
            return error_answer(scope["path"], error, request_id, is_step=True)
        except Disconnected:
            return None
        except asyncio.CancelledError:
            if task is None or not self._watcher.was_dropped(task):
                raise
            return None
        except Exception as error:
            hidden = unexpected(error, where=match.template, request_id=request_id)
            return error_answer(scope["path"], hidden, request_id, is_step=True)
        finally:
            self._end(task, body)

    def _end(self, task: "asyncio.Task[Any] | None", body: bytes) -> None:
        self._bodies.release(body)
        if task is not None:
            self._watcher.end(task)
            self._lifecycle.answered()

    async def _call_control(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Mapping[bytes, bytes],
        request_id: str,
        named: Sequence[Header],
    ) -> None:
        """The control plane: admitted, bounded and counted as the data plane is."""
        started = time.monotonic()
        sent = SentAnswer(send, self._lifecycle, named)
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
            status = sent.status or CLIENT_GONE
            elapsed_s = time.monotonic() - started
            self._traffic.count(template_of(scope), status, elapsed_s)
            if self._logs:
                log_access(scope["method"], path, status, elapsed_s, named)
