"""A request's body, whole and bounded before anything is done with it."""

import asyncio
from collections.abc import Mapping

from carousel.service.api.http.disconnect_watcher import Receive
from carousel.service.api.http.memory_budget import COUNTED_BYTES, MemoryBudget
from carousel.service.errors import DeadlineExceeded, PayloadTooLarge


class Disconnected(Exception):
    """The client went away before its request was whole."""


class Bodies:
    """Reads bodies; each of them is bounded, and so is what the large ones hold together."""

    def __init__(self, budget: MemoryBudget, *, max_bytes: int, timeout_s: float) -> None:
        # A body that is there whole and no longer needs none of this: it is short, and not counted.
        self.max_passing_bytes = min(max_bytes, COUNTED_BYTES - 1)
        self._budget = budget
        self._max_bytes = max_bytes
        self._max_digits = len(str(max_bytes))
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"<Bodies {self._budget!r}>"

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """The body; `release` it once the request is answered.

        Raises PayloadTooLarge, DeadlineExceeded, QueueFull, Disconnected.
        """
        length = headers.get(b"content-length")
        if length is not None and len(length) >= self._max_digits:
            self._check_size(int(length))
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        first: bytes = message["body"]
        if message["more_body"] or len(first) >= COUNTED_BYTES:
            return await self._read_rest(first, receive, more=message["more_body"])
        return first

    def release(self, body: bytes) -> None:
        """The body is done with."""
        if len(body) >= COUNTED_BYTES:
            self._budget.add(-len(body))

    async def _read_rest(self, first: bytes, receive: Receive, *, more: bool) -> bytes:
        body = bytearray()
        try:
            self._grow(body, first)
            async with asyncio.timeout(self._timeout_s):
                while more:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Disconnected
                    more = message["more_body"]
                    self._grow(body, message["body"])
        except BaseException as error:
            self._budget.add(-len(body))
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    f"the body: only {len(body)} bytes of it came within {self._timeout_s:g} s"
                ) from None
            raise
        if len(body) < COUNTED_BYTES:
            self._budget.add(-len(body))
        return bytes(body)

    def _grow(self, body: bytearray, piece: bytes) -> None:
        self._check_size(len(body) + len(piece))
        self._budget.take(len(piece))
        body += piece

    def _check_size(self, num_bytes: int) -> None:
        if num_bytes > self._max_bytes:
            raise PayloadTooLarge(
                f"the body: {num_bytes} bytes or more given; a body may have {self._max_bytes}"
            )
