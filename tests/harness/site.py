"""A service on a socket in this process, and clients of it, byte by byte."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

import numpy as np

from carousel.service.api.http.authenticator import TENANT
from carousel.service.api.server.server import Server, listen
from tests.harness.fakes import PATIENCE_S
from tests.harness.inside import Service, serve
from tests.harness.rig import Rig, settle, until

BODY = np.ones((1, 2), "<f4").tobytes()


class Connection:
    """A client's connection to the service, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, *parts: bytes) -> None:
        """Write without waiting."""
        self.writer.write(b"".join(parts))

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """The next answer: status, headers in lower case, body."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, *lines = head.rstrip(b"\r\n").split(b"\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in lines)
            body = await self.reader.readexactly(int(headers[b"content-length"]))
        return int(status.split()[1]), headers, body

    async def ask(self, *parts: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        """Send, and the answer."""
        self.send(*parts)
        return await self.answer()

    async def sums(self) -> list[float]:
        """The running sums in the next answer, which must be a raw one."""
        status, _, body = await self.answer()
        assert status == 200, body
        return [float(value) for value in np.frombuffer(body, "<f4").reshape(-1, 2)[:, 0]]


class Site:
    """A service on a socket in this process, and connections to it."""

    def __init__(self, service: Service, server: Server, port: int) -> None:
        self.service = service
        self.server = server
        self.rig = service.rig
        self.port = port
        self._lines: list[Connection] = []

    async def connect(self) -> Connection:
        """A new connection."""
        self._lines.append(Connection(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self._lines[-1]

    async def open(self, session_id: str) -> None:
        """Open a session and bring it into memory: a first step has to be loaded."""
        await self.service.open(session_id)
        assert (await self.service.step(session_id, [[0, 0]])).status_code == 200

    def close(self) -> None:
        """Close every connection."""
        for line in self._lines:
            line.writer.close()


def step(session_id: str, body: bytes = BODY, *lines: bytes) -> bytes:
    """A whole step in HTTP."""
    head = [
        b"POST /v1/sessions/%b/steps HTTP/1.1" % session_id.encode(),
        b"Host: 127.0.0.1",
        b"Content-Length: %d" % len(body),
        *(lines or (b"Content-Type: application/octet-stream",)),
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


async def total(site: Site, session_id: str) -> float:
    """The running sum in a session's state."""
    read = await site.rig.sessions.read_state(TENANT, session_id)
    return float(read.state["h"][0, 0])


def on_a_socket(
    scenario: Callable[[Site], Awaitable[None]],
    rig: Rig | None = None,
    keep_alive_s: float = 60,
    send_bytes: int | None = None,
) -> None:
    """Run a scenario around a service that listens, and end the server as a signal would.

    `send_bytes`: what the kernel keeps of answers that are not read; it keeps megabytes otherwise.
    """

    async def run(service: Service) -> None:
        sock = listen("127.0.0.1", 0)
        if send_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_bytes)
        server = Server(service.app.gate, keep_alive_s=keep_alive_s)
        serving = asyncio.ensure_future(server.serve(sockets=[sock]))
        await until(lambda: server.started)
        site = Site(service, server, sock.getsockname()[1])
        try:
            await scenario(site)
        finally:
            service.rig.backend.go()
            site.close()
            server.should_exit = True
            await serving
            sock.close()
            await settle()

    serve(run, rig)
