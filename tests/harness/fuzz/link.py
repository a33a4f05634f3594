"""A raw connection to a service: bytes in pieces, and what statuses and frames came back."""

import asyncio
import re
from contextlib import suppress

from tests.harness.process import PATIENCE_S

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) [A-Z]")
_END = b"\r\n\r\n"
# Between two pieces, so that they arrive as two.
_PAUSE_S = 0.001
_CLOSE = 0x88


class Link:
    """One connection, with `async with`; broken off at its end, whatever is still on its way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.data = b""
        self.is_over = False

    def __repr__(self) -> str:
        return f"<Link {len(self.data)} bytes over={self.is_over}>"

    async def __aenter__(self) -> "Link":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.transport.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    @property
    def statuses(self) -> list[int]:
        """Of the answers so far."""
        return [int(each) for each in _STATUS.findall(self.data)]

    async def send(self, *pieces: bytes, patience_s: float = PATIENCE_S) -> None:
        """Write them one by one, as far as the other side takes them."""
        with suppress(OSError, TimeoutError):
            for index, piece in enumerate(pieces):
                if index:
                    await asyncio.sleep(_PAUSE_S)
                self._writer.write(piece)
                async with asyncio.timeout(patience_s):
                    await self._writer.drain()

    async def read(self, *, first_s: float, then_s: float, num_statuses: int = 0) -> None:
        """What comes: for so long until the first of it, then while it comes so soon, or until
        there are so many answers.
        """
        wait_s = first_s
        while not self.is_over:
            try:
                async with asyncio.timeout(wait_s):
                    data = await self._reader.read(1 << 16)
            except TimeoutError:
                return
            except OSError:
                data = b""
            self.is_over = not data
            self.data += data
            if num_statuses and len(self.statuses) >= num_statuses:
                return
            wait_s = then_s if not num_statuses else first_s

    def close_code(self) -> int | None:
        """Of a stream: what the service closed with, after its own messages."""
        at = self.data.find(_END) + len(_END)
        while at + 2 <= len(self.data):
            size, start = self.data[at + 1], at + 2
            if size >= 126:
                start += 2 if size == 126 else 8
                size = int.from_bytes(self.data[at + 2 : start], "big")
            if self.data[at] == _CLOSE:
                return int.from_bytes(self.data[start : start + 2], "big")
            at = start + size
        return None
