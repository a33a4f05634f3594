"""What all streams share: the service behind them, and which stream has which session."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from carousel.service.api.encoding.codec import Codecs
from carousel.service.api.http.budget import Budget
from carousel.service.api.http.guard import Guard
from carousel.service.api.http.lifecycle import Lifecycle
from carousel.service.api.http.traffic import Traffic
from carousel.service.api.streams.closing import Close
from carousel.service.sessions.record import Key
from carousel.service.sessions.sessions import Sessions

if TYPE_CHECKING:
    from carousel.service.api.streams.stream import Stream


class Desk:
    """Where streams are opened, and found by their session. Owned by the event loop."""

    def __init__(
        self,
        sessions: Sessions,
        codecs: Codecs,
        guard: Guard,
        lifecycle: Lifecycle,
        traffic: Traffic,
        *,
        deadline_s: float,
        max_ttl_s: float,
        max_message_bytes: int,
        budget: Budget,
        patience_s: float = 20.0,
        drain_patience_s: float = 2.0,
    ) -> None:
        self.sessions = sessions
        self.codecs = codecs
        self.guard = guard
        self.lifecycle = lifecycle
        self.traffic = traffic
        self.deadline_s = deadline_s
        self.max_ttl_s = max_ttl_s
        self.max_message_bytes = max_message_bytes
        # How long a client may leave unread what it is sent, or unanswered a ping or a close.
        self.patience_s = patience_s
        # The first of these once the service refuses requests: the end waits for such a client.
        self.drain_patience_s = drain_patience_s
        self.budget = budget
        self._streams: dict[Key, Stream] = {}

    def __repr__(self) -> str:
        return f"<Desk streams={len(self._streams)}>"

    @property
    def streams(self) -> Mapping[Key, "Stream"]:
        """The streams that are open, by session."""
        return self._streams

    async def take_over(self, key: Key, stream: "Stream") -> None:
        """Give a session to a stream; the one that had it ends, its running step committed."""
        older = self._streams.get(key)
        self._streams[key] = stream
        if older is not None:
            await older.give_up()

    def let_go(self, key: Key, stream: "Stream") -> None:
        """A stream has ended; the session may have another by now."""
        if self._streams.get(key) is stream:
            del self._streams[key]

    def end_all(self) -> None:
        """The service ends: every frame that was accepted is answered, and clients may go on
        elsewhere.
        """
        for stream in list(self._streams.values()):
            stream.end(Close.RESTARTING, "the service is shutting down")
