"""What HTTP clients do on the wire that llhttp alone would get wrong."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from uvicorn.server import ServerState

from carousel.service.api.server.http_connection import HttpConnection
from tests.harness.client import MODEL
from tests.harness.inside import Service, serve
from tests.harness.live import Live

BODY = b'{"sequences":[[[0,0,0,0,0,0,0,0,0,0]]]}'
OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)


def _ask(live: Live, *pieces: bytes) -> bytes:
    """Everything that the service answers, until it closes."""
    url = httpx.URL(live.url)
    answer = b""
    with socket.create_connection((url.host, url.port or 80), timeout=10) as sock:
        for piece in pieces:
            sock.sendall(piece)
        while piece := sock.recv(65536):
            answer += piece
    return answer


def test_an_offer_of_http2_is_declined_with_the_answer(live: Live) -> None:
    """Java's HttpClient offers h2c with its first request: its body counts, and the next does."""
    head = f"POST /v1/models/{MODEL}/infer HTTP/1.1\r\nHost: localhost\r\n".encode()
    length = b"Content-Length: %d\r\n\r\n" % len(BODY)
    again = head + b"Connection: close\r\n" + length + BODY
    assert _ask(live, head + OFFER + length + BODY + again).count(b"HTTP/1.1 200 OK") == 2
    assert _ask(live, head + OFFER + length, BODY[:5], BODY[5:] + again).count(b" 200 OK") == 2


def test_a_compressed_body_is_refused(live: Live) -> None:
    """No body is decompressed, and none is taken for what it is not."""
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = live.client.post(f"/v1/models/{MODEL}/infer", content=BODY, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_a_body_in_one_piece_is_bounded_too(repository: Path) -> None:
    """What is answered without a task has no other bound than what comes in pieces."""
    with Live(repository, "--max-body-bytes", "500", "--store", "memory") as live:
        for size, status in ((500, 200), (501, 413)):
            answer = live.client.post(
                f"/v1/models/{MODEL}/infer",
                content=BODY.ljust(size),
                headers={"Content-Type": "application/json"},
            )
            assert answer.status_code == status


class Wire(asyncio.Transport):
    """A transport that keeps what is written, so that a test decides what comes in one piece."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """What a test feeds is fed."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


def test_the_rest_of_a_body_is_not_taken_for_a_head() -> None:
    """What is left of one request and the head of the next may come in one piece."""

    async def scenario(service: Service) -> None:
        wire = Wire()
        state = ServerState()
        protocol = HttpConnection(uvicorn.Config(service.app.gate, log_config=None), state)
        protocol.connection_made(wire)
        head = b"POST /v1/steps HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
        protocol.data_received(head)
        protocol.data_received(bytes(100_000) + head)
        assert (wire.written, wire.closed) == (b"", False)
        protocol.connection_lost(None)
        await asyncio.gather(*state.tasks)

    serve(scenario)
