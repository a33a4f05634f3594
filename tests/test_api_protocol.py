"""What HTTP clients do on the wire that llhttp or uvicorn alone would get wrong."""

import socket

import httpx

from tests.client import MODEL
from tests.live import Live

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
