"""An open WebSocket to a session; every way it can fail is a CarouselError."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from carousel_client.endpoint import Endpoint, user_agent
from carousel_client.pipeline import Message
from carousel_client.problem import read_failure

# How long the server may take to answer that the stream ends.
CLOSE_S = 2.0
FAILURES = (ConnectionClosed, InvalidHandshake, OSError)


class Link:
    """Messages out and in. Opened where it is made."""

    def __init__(self, endpoint: Endpoint, session_id: str) -> None:
        self._url = endpoint.stream_at("v1", "sessions", session_id, "stream")
        self._timeout_s = endpoint.timeout_s
        self._stack = ExitStack()
        with _failing():
            self._socket = self._stack.enter_context(
                connect(
                    self._url,
                    ssl=endpoint.ssl_context if self._url.startswith("wss") else None,
                    additional_headers=endpoint.stream_headers,
                    user_agent_header=user_agent(),
                    compression=None,
                    max_size=None,
                    open_timeout=endpoint.timeout.connect,
                    close_timeout=CLOSE_S,
                )
            )

    def __repr__(self) -> str:
        return f"<Link {self._url}>"

    def send(self, message: Message) -> None:
        """Send one message."""
        with _failing():
            self._socket.send(message)

    def receive(self, within_s: float = math.inf) -> Message:
        """The next message; `within_s` is how long to wait, if less than the client does."""
        with _failing():
            return self._socket.recv(timeout=max(0.0, min(within_s, self._timeout_s)))

    def close(self) -> None:
        """End the stream; the session stays."""
        with _failing():
            self._stack.close()


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except FAILURES as error:
        raise read_failure(error) from error
