"""uvicorn's server, with our own end: SIGTERM drains, a second one ends at once, SIGHUP looks anew.

uvicorn's own handling would close the listening socket first and never answer 503.
"""

import asyncio
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn

from carousel.service.api.server.gate import Gate
from carousel.service.api.server.http_connection import HttpConnection
from carousel.service.errors import SettingError
from carousel.service.option import PREFIX

log = logging.getLogger("carousel.server")

_BACKLOG = 2048
_TICKS_A_SECOND = 10
_MAX_PORT = 65535


class Server(uvicorn.Server):
    """Serves a gate on a socket until a signal has ended the drain."""

    def __init__(self, gate: Gate, *, keep_alive_s: float) -> None:
        config = uvicorn.Config(
            gate,
            http=HttpConnection,
            ws="none",
            loop="uvloop",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=int(keep_alive_s),
            timeout_graceful_shutdown=5,
            backlog=_BACKLOG,
        )
        super().__init__(config)
        self._gate = gate
        self._ending: asyncio.Task[None] | None = None
        self._refreshing: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Server {self.config.app!r}>"

    def install_signals(
        self, drain: Callable[[], Awaitable[None]], refresh: Callable[[], Awaitable[None]]
    ) -> None:
        """Take the signals over, on the running loop."""
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, self._end, each, drain)
        loop.add_signal_handler(signal.SIGHUP, self._refresh, refresh)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn installs nothing."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; once a second connections are looked through."""
        if counter % _TICKS_A_SECOND == 0:
            self._look_through()
        return await super().on_tick(counter)

    def _end(self, number: int, drain: Callable[[], Awaitable[None]]) -> None:
        if self._ending is not None:
            log.warning("ended by a second signal; what was accepted is not answered")
            logging.shutdown()
            os._exit(128 + number)
        log.info("draining: %s", signal.Signals(number).name)
        self._ending = asyncio.ensure_future(self._drain(drain))

    async def _drain(self, drain: Callable[[], Awaitable[None]]) -> None:
        try:
            await drain()
        finally:
            self.should_exit = True

    def _refresh(self, refresh: Callable[[], Awaitable[None]]) -> None:
        task = asyncio.ensure_future(_logged(refresh))
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)

    def _look_through(self) -> None:
        """Close where a client does not send what it began, or read what it asked for."""
        now = time.monotonic()
        for each in list(self.server_state.connections):
            if isinstance(each, HttpConnection):
                each.close_if_late(now)
        self._gate.unread.look()


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address; raises SettingError if it cannot be had."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise SettingError(PREFIX + "HOST", f"{host}: {error.strerror}") from None
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        problem = str(error.strerror)
        if error.errno == errno.EADDRINUSE:
            other = port + 1 if port < _MAX_PORT else port - 1
            problem = (
                "something else listens there; expected a free port, as in "
                f"--port {other} (or make serve PORT={other}), or 0 for any"
            )
        raise SettingError(PREFIX + "PORT", f"{host}:{port}: {problem}") from None
    return sock


async def _logged(refresh: Callable[[], Awaitable[None]]) -> None:
    log.info("looking for new versions")
    try:
        await refresh()
    except Exception:
        log.exception("the model repository could not be read again; serving as before")
