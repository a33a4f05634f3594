"""What a stream speaks through: it knows nothing of sockets."""

from typing import Protocol

from carousel.service.api.streams.closing import Close


class ClientLink(Protocol):
    """The connection under a stream."""

    def send(self, data: bytes, *, is_text: bool) -> None: ...

    def close(self, code: Close, reason: str) -> None:
        """End the connection, after what was sent."""

    def hold_back(self, held: bool) -> None:
        """Stop reading what the client sends, or read on."""
