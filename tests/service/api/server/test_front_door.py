"""What comes in before any key is asked for: bounded, in order, and told in one line."""

import asyncio
import logging
from contextlib import suppress

import orjson
import pytest

from carousel.service.api.http.memory_budget import MemoryBudget
from carousel.service.api.http.unread import Unread
from carousel.service.api.server.http_connection import HttpConnection
from tests.harness.fakes import PATIENCE_S
from tests.harness.rig import until
from tests.harness.site import BODY, Connection, Site, on_a_socket, step, total

LIVE = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
CHUNKED = step("a").replace(b"Content-Length: 8", b"Transfer-Encoding: chunked")
CHUNKED = CHUNKED[: -len(BODY)] + b"8\r\n" + BODY + b"\r\n0\r\n"


async def _ends_with(line: Connection, status: int, says: str = "") -> None:
    """The connection is answered once more, and closed."""
    found, headers, body = await line.answer()
    assert (found, headers[b"connection"]) == (status, b"close"), body
    assert says in orjson.loads(body)["detail"]
    # What it had sent and nobody read makes the end a reset.
    async with asyncio.timeout(PATIENCE_S):
        with suppress(ConnectionResetError):
            assert await line.reader.read() == b""


def test_trailers_are_no_headers() -> None:
    """What stands behind a body says nothing of the request, not even whom it is for."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        line = await site.connect()
        trailers = b"Host: evil.example\r\nCarousel-Position: 77\r\nAuthorization: Bearer x\r\n"
        line.send(CHUNKED, trailers, b"\r\n", step("a"))
        assert await line.sums() == [1]
        assert await line.sums() == [2]

    on_a_socket(scenario)


@pytest.mark.parametrize("piece", [b"a: b\r\n", b"x" * 1000, b"a: " + b"b" * 1000 + b"\r\n"])
@pytest.mark.parametrize("start", [CHUNKED, CHUNKED[:-3] + b"1;", LIVE[:-2]])
def test_what_has_no_end_is_cut(start: bytes, piece: bytes) -> None:
    """Trailers, chunk extensions and headers without end, or one of them: refused early."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        line = await site.connect()
        line.send(start)
        line.send(piece * (10**6 // len(piece)))
        await _ends_with(line, 400)

    on_a_socket(scenario)


def test_many_small_headers_are_refused() -> None:
    """A head within its length may have headers in number that take far more memory."""

    async def scenario(site: Site) -> None:
        line = await site.connect()
        line.send(LIVE[:-2], b"a:\r\n" * 200, b"\r\n")
        await _ends_with(line, 400, "128 headers")

    on_a_socket(scenario)


def test_a_body_that_goes_wrong_behind_its_answer_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A request may be answered before it is whole; then nothing is left to say."""

    async def scenario(site: Site) -> None:
        line = await site.connect()
        line.send(b"GET /v1/steps HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await line.answer())[0] == 405
        line.send(b"no chunk\r\n")
        async with asyncio.timeout(PATIENCE_S):
            assert await line.reader.read() == b""

    with caplog.at_level(logging.INFO):
        on_a_socket(scenario)
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_a_request_for_a_tunnel_is_refused_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """CONNECT is answered once, whatever is in front of it."""

    async def scenario(site: Site) -> None:
        for before in (0, 2):
            line = await site.connect()
            line.send(LIVE * before, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n" * 500)
            for _ in range(before):
                assert (await line.answer())[0] == 200
            await _ends_with(line, 405)
        assert (await (await site.connect()).ask(LIVE))[0] == 200

    with caplog.at_level(logging.INFO):
        on_a_socket(scenario)
    assert len(caplog.text) < 2000


def test_offers_of_another_protocol_are_declined_one_after_the_other() -> None:
    """However many come at once, each request is answered, and so is what follows."""

    async def scenario(site: Site) -> None:
        line = await site.connect()
        line.send(LIVE[:-2] + OFFER + b"\r\n", *[LIVE[:-2] + OFFER + b"\r\n"] * 400, LIVE)
        for _ in range(402):
            assert (await line.answer())[0] == 200

    on_a_socket(scenario)


def test_requests_sent_ahead_wait_as_bytes() -> None:
    """Thousands of requests in one piece are answered in order, and few of them held as more."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        line = await site.connect()
        site.rig.backend.hold()
        line.send(step("a"), LIVE * 5000, step("a"))
        await site.rig.backend.entered()
        [connection] = site.server.server_state.connections
        assert isinstance(connection, HttpConnection)
        await until(lambda: len(connection._waiting) > 0)
        assert len(connection._waiting) < 200
        site.rig.backend.go()
        assert await line.sums() == [1]
        for _ in range(5000):
            assert (await line.answer())[0] == 200
        assert await line.sums() == [2]

    on_a_socket(scenario)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"GET /livez HTTP/1.1\r\n\r\n", "Host: given 0 times"),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", "Host: given 2"),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n", "Host: given 2"),
        (b"GET /livez HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "Host: given 2"),
        (LIVE[:-2] + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding"),
        (LIVE[:-2] + b"Transfer-Encoding: identity\r\n\r\n", "Transfer-Enc"),
        (LIVE[:-2] + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", "Transf"),
        (LIVE[:-2] + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1"),
        (LIVE[:-2] + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "HTTP/1.1"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1"),
        (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "HTTP/1.1"),
    ],
)
def test_a_head_that_can_be_read_two_ways_is_refused(head: bytes, says: str) -> None:
    """RFC 9112 says 400 of these: a server before this one might have read them otherwise."""

    async def scenario(site: Site) -> None:
        line = await site.connect()
        line.send(head)
        await _ends_with(line, 400, says)

    on_a_socket(scenario)


def test_http_1_0_needs_no_host_and_is_answered_once() -> None:
    """Its connection is closed behind the answer. Without a key a Host is asked for all the same
    where there is something to protect.
    """

    async def scenario(site: Site) -> None:
        line = await site.connect()
        line.send(b"GET /livez HTTP/1.0\r\n\r\n")
        status, headers, _ = await line.answer()
        assert (status, headers[b"connection"]) == (200, b"close")
        async with asyncio.timeout(PATIENCE_S):
            assert await line.reader.read() == b""

    on_a_socket(scenario)


@pytest.mark.parametrize(
    "path", [b"a%3Fcommit=false/steps", b"a?/steps", b"a%2Fsteps", b"a%2fsteps", b"a/steps%3F"]
)
def test_only_a_path_that_is_a_step_is_one(path: bytes) -> None:
    """A mark that was encoded stays in the path, and one that was not ends it."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        line = await site.connect()
        line.send(step("a").replace(b"a/steps", path))
        assert (await line.answer())[0] in (404, 405)
        assert await total(site, "a") == 0

    on_a_socket(scenario)


class _Client:
    """A client that has so much unread."""

    def __init__(self, unread_bytes: int) -> None:
        self.unread_bytes = unread_bytes
        self.gone = False

    def break_off(self) -> None:
        """Cut off."""
        self.gone = True


def test_unread_answers_are_counted_and_the_oldest_cut() -> None:
    """They take from what all messages may hold; where that is full, who waited longest goes."""
    budget = MemoryBudget(1000_000)
    unread = Unread(budget)
    clients = [_Client(400_000) for _ in range(3)]
    for each in clients[:2]:
        unread.left(each)
    assert budget.held_bytes == 800_000
    clients[0].unread_bytes = 100_000
    unread.look()
    assert budget.held_bytes == 500_000
    unread.left(clients[2])
    assert budget.held_bytes == 900_000
    clients[2].unread_bytes = 600_000
    unread.left(clients[2])
    assert [each.gone for each in clients] == [False, True, False]
    for each in clients:
        unread.taken(each)
    assert budget.held_bytes == 0


def test_a_single_answer_may_be_larger_than_all() -> None:
    """Nobody is served by cutting it: it is there, and its client may read it."""
    budget = MemoryBudget(1000)
    client = _Client(10**6)
    Unread(budget).left(client)
    assert (client.gone, budget.held_bytes) == (False, 10**6)


def test_a_client_that_does_not_read_is_cut() -> None:
    """One that reads nothing of what it asked for goes after a time, others are served on."""

    async def scenario(site: Site) -> None:
        gate = site.service.app.gate
        gate.unread = Unread(site.service.app.budget, timeout_s=0.2)
        await site.open("a")
        deaf = await site.connect()
        deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]
        body = BODY * 10_000
        infer = step("a", body).replace(b"/v1/sessions/a/steps", b"/v1/models/witness/infer")
        kind = b"Content-Type: application/octet-stream"
        infer = infer.replace(kind, kind + b"\r\nAccept: application/json")
        for _ in range(20):
            deaf.send(infer)
        await until(lambda: len(site.server.server_state.connections) == 1)
        assert (await (await site.connect()).ask(LIVE))[0] == 200
        await until(lambda: len(site.server.server_state.connections) == 1)
        assert site.service.app.budget.held_bytes == 0
        assert site.service.app.lifecycle.num_accepted == 0

    on_a_socket(scenario, send_bytes=16_384)
