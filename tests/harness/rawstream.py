"""A client of a stream that does nothing of its own accord: it neither answers closes nor pings."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson
from websockets.frames import Close, Frame, Opcode

from tests.harness.fakes import PATIENCE_S
from tests.harness.site import Site


def upgrade(path: str, *lines: bytes) -> bytes:
    """The head of a request for a stream."""
    head = [
        b"GET %b HTTP/1.1" % path.encode(),
        b"Host: 127.0.0.1",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: %b" % base64.b64encode(bytes(16)),
        *lines,
    ]
    return b"\r\n".join(head) + b"\r\n\r\n"


def message(data: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True) -> bytes:
    """One frame as a client sends it."""
    return Frame(opcode, data, fin).serialize(mask=True)


class RawStream:
    """Frames in and out, over a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def head(self) -> None:
        """The server has switched to the stream."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, data: bytes) -> None:
        """Write without waiting."""
        self.writer.write(data)

    async def frame(self) -> tuple[Opcode, bytes]:
        """The next frame, which is a whole message."""
        async with asyncio.timeout(PATIENCE_S):
            first, size = await self._reader.readexactly(2)
            if size >= 126:
                size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8))
            return Opcode(first & 15), await self._reader.readexactly(size)

    async def text(self) -> dict[str, object]:
        """The next message, in JSON."""
        opcode, data = await self.frame()
        assert opcode is Opcode.TEXT, (opcode, data)
        found: dict[str, object] = orjson.loads(data)
        return found

    async def close_code(self) -> int:
        """What the server closes with, after whatever still comes."""
        while True:
            opcode, data = await self.frame()
            if opcode is Opcode.CLOSE:
                return Close.parse(data).code

    def answer_close(self, code: int | None) -> None:
        """Close, or answer a close, with a code or without one."""
        data = b"" if code is None else Close(code, "").serialize()
        self.send(message(data, Opcode.CLOSE))

    async def ended(self) -> None:
        """Wait until the server has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            assert await self._reader.read() == b""


@asynccontextmanager
async def dial(
    site: Site, path: str, early: bytes = b"", limit: int = 1 << 16
) -> AsyncIterator[RawStream]:
    """Ask for a stream, and send `early` with it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=limit)
    raw = RawStream(reader, writer)
    try:
        raw.send(upgrade(path) + early)
        await raw.head()
        yield raw
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()
