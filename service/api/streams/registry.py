"""Which stream has which session: a session has one stream at a time, the newest."""

from collections.abc import Mapping

from carousel.service.api.streams.closing import Close
from carousel.service.api.streams.services import StreamServices
from carousel.service.api.streams.stream import Stream
from carousel.service.sessions.session_record import Key


class StreamRegistry:
    """The streams that are open, found by their session. Owned by the event loop."""

    def __init__(self, services: StreamServices) -> None:
        self.services = services
        self._streams: dict[Key, Stream] = {}

    def __repr__(self) -> str:
        return f"<StreamRegistry streams={len(self._streams)}>"

    @property
    def streams(self) -> Mapping[Key, Stream]:
        return self._streams

    async def take_over(self, key: Key, stream: Stream) -> None:
        """Give a session to a stream; the one that had it ends, its running step committed."""
        older = self._streams.get(key)
        self._streams[key] = stream
        if older is not None:
            await older.give_up()

    def let_go(self, key: Key, stream: Stream) -> None:
        """A stream has ended; the session may have another by now."""
        if self._streams.get(key) is stream:
            del self._streams[key]

    def end_all(self) -> None:
        """The service ends: every frame that was accepted is answered, and clients may go on
        elsewhere.
        """
        for stream in list(self._streams.values()):
            stream.end(Close.RESTARTING, "the service is shutting down")
