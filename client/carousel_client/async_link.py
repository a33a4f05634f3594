"""An open WebSocket to a session, on asyncio's loop; every way it can fail is a CarouselError."""

import asyncio
from contextlib import AsyncExitStack
from typing import Self

from websockets.asyncio.client import connect

from carousel_client.endpoint import Endpoint, user_agent
from carousel_client.link import CLOSE_S, FAILURES
from carousel_client.pipeline import Message
from carousel_client.problem import read_failure


class AsyncLink:
    """Messages out and in."""

    def __init__(self, endpoint: Endpoint, session_id: str) -> None:
        self._url = endpoint.stream_at("v1", "sessions", session_id, "stream")
        self._timeout_s = endpoint.timeout_s
        self._stack = AsyncExitStack()
        self._connect = connect(
            self._url,
            ssl=endpoint.ssl_context if self._url.startswith("wss") else None,
            additional_headers=endpoint.stream_headers,
            user_agent_header=user_agent(),
            compression=None,
            max_size=None,
            open_timeout=endpoint.timeout.connect,
            close_timeout=CLOSE_S,
        )

    def __repr__(self) -> str:
        return f"<AsyncLink {self._url}>"

    async def open(self) -> Self:
        """Connect; once."""
        try:
            self._socket = await self._stack.enter_async_context(self._connect)
        except FAILURES as error:
            raise read_failure(error) from error
        return self

    async def send(self, message: Message) -> None:
        """Send one message."""
        try:
            await self._socket.send(message)
        except FAILURES as error:
            raise read_failure(error) from error

    async def receive(self) -> Message:
        """The next message."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._socket.recv()
        except FAILURES as error:
            raise read_failure(error) from error

    async def close(self) -> None:
        """End the stream; the session stays."""
        try:
            await self._stack.aclose()
        except FAILURES as error:
            raise read_failure(error) from error
