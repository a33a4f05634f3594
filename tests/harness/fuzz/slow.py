"""Clients beside an attack that send a byte at a time, or ask for much and never read."""

import asyncio
from contextlib import suppress

import orjson

from tests.harness.fuzz.link import Link

_NUM_SENDING, _NUM_DEAF = 16, 8
_EVERY_S = 0.05
_ROWS = [[0.123456, 0.654321]] * 2000


class Slow:
    """They are there with `async with`, and gone with it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<Slow {len(self._tasks)}>"

    async def __aenter__(self) -> "Slow":
        self._tasks = [asyncio.create_task(self._send()) for _ in range(_NUM_SENDING)]
        self._tasks += [asyncio.create_task(self._ask()) for _ in range(_NUM_DEAF)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self) -> None:
        request = infer_request()
        while True:
            async with Link(self._port) as link:
                for at in range(len(request)):
                    await link.send(request[at : at + 1])
                    await asyncio.sleep(_EVERY_S)

    async def _ask(self) -> None:
        """Until it is cut off, and again."""
        request = infer_request(_ROWS)
        while True:
            async with Link(self._port) as link:
                for _ in range(200):
                    await link.send(request, patience_s=1)
                    with suppress(TimeoutError):
                        await asyncio.sleep(_EVERY_S)


def infer_request(rows: list[list[float]] | None = None) -> bytes:
    """One sequence of the witness, run from its beginning."""
    body = orjson.dumps({"sequences": [rows or [[1.0, 2.0]]]})
    return http_post("/v1/models/witness/infer", body)


def http_post(path: str, body: bytes, *lines: bytes) -> bytes:
    """A request whole."""
    head = [
        b"POST %b HTTP/1.1" % path.encode(),
        b"Host: localhost",
        b"Content-Length: %d" % len(body),
        *(lines or (b"Content-Type: application/json",)),
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
