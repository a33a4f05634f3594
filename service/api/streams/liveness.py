"""Whether the client of a connection is still there: it reads what it is sent, and answers."""

import asyncio
import time
from collections.abc import Callable

from websockets.exceptions import InvalidState
from websockets.server import ServerProtocol

from carousel.service.api.streams.services import StreamServices


class ClientLiveness:
    """Of one connection: cuts it off when the client leaves a ping or a close unanswered, or unread
    what it was sent. `flush` sends what the library has to say.
    """

    def __init__(
        self,
        services: StreamServices,
        websocket: ServerProtocol,
        transport: asyncio.Transport,
        flush: Callable[[], None],
    ) -> None:
        self._services = services
        self._websocket = websocket
        self._transport = transport
        self._flush = flush
        self._pinged = False
        self._closing = False
        self._unread_since: float | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._timer = self._call_later(services.client_timeout_s, self._look)

    def __repr__(self) -> str:
        return f"<ClientLiveness pinged={self._pinged} unread_since={self._unread_since}>"

    @property
    def is_unread(self) -> bool:
        """Whether the client leaves unread what it was sent."""
        return self._unread_since is not None

    def end(self) -> None:
        """The connection is gone; neither holds the other any more."""
        del self._flush
        self._timer.cancel()
        if self._unread_timer is not None:
            self._unread_timer.cancel()

    def left_unread(self) -> None:
        """The client does not read."""
        self._unread_since = time.monotonic()
        if self._unread_timer is None:
            self._watch_unread()

    def read_on(self) -> None:
        """The client reads again."""
        self._unread_since = None

    def ponged(self) -> None:
        """The client has answered a ping."""
        self._pinged = False

    def closing(self) -> None:
        """A close was sent: from the first call on, only its answer is waited for."""
        if not self._closing:
            self._closing = True
            self._timer.cancel()
            self._timer = self._call_later(self._services.client_timeout_s, self._look)

    def _look(self) -> None:
        """Time has passed: is the client still there?"""
        if (
            self._websocket.close_expected()
            or self._pinged
            or self._is_deaf(self._services.client_timeout_s)
        ):
            self._transport.abort()
            return
        self._pinged = True
        try:
            self._websocket.send_ping(b"")
        except InvalidState:
            self._transport.abort()
            return
        self._flush()
        self._timer = self._call_later(self._services.client_timeout_s, self._look)

    def _watch_unread(self) -> None:
        """Look again soon: once the service refuses requests, its end waits for this client."""
        self._unread_timer = self._call_later(
            self._services.draining_timeout_s / 2, self._look_at_unread
        )

    def _look_at_unread(self) -> None:
        self._unread_timer = None
        if self._services.lifecycle.is_refusing and self._is_deaf(
            self._services.draining_timeout_s
        ):
            self._transport.abort()
        elif self.is_unread:
            self._watch_unread()

    def _is_deaf(self, limit_s: float) -> bool:
        since = self._unread_since
        return since is not None and time.monotonic() - since >= limit_s

    def _call_later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, call)
