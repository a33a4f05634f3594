"""What becomes of requests when a server ends connections, or refuses."""

import asyncio
from dataclasses import dataclass

import pytest

from carousel_bench.load.phase import Phase
from carousel_bench.load.work import Seat
from tests.client.bench.fake_server import REPLY, driven, read_request

SEATS = tuple(Seat(str(number), "", ()) for number in range(3))
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n1234"
BUSY = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy"
STRANGE = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"


@dataclass(slots=True)
class Server:
    """Gives one request of `every` this answer, and ends the connection behind it, but where it is
    a refusal. `num_given`: how often it was given.
    """

    answer_given: bytes
    every: int = 10
    num_requests: int = 0
    num_given: int = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        while True:
            await read_request(reader)
            self.num_requests += 1
            if self.num_requests % self.every:
                writer.write(REPLY)
                continue
            self.num_given += 1
            writer.write(self.answer_given)
            if self.answer_given != BUSY:
                return


@pytest.mark.parametrize("rate", [None, 300.0])
def test_a_connection_that_ends_behind_a_reply_is_no_error(rate: float | None) -> None:
    """As proxies do after some number of requests; the next goes over a new one."""
    server = Server(CLOSING)
    tally = driven(server, Phase(SEATS, rate, 0, 1, 3))
    assert tally.errors.total() == tally.refused.total() == 0
    assert server.num_given > 10
    assert tally.latency.count == server.num_requests


@pytest.mark.parametrize(
    ("tenth", "word"), [(b"", "connection lost"), (STRANGE, "a reply without Content-Length")]
)
def test_a_reply_that_does_not_come_is_an_error(tenth: bytes, word: str) -> None:
    """Each counts once, and the session goes on over a new connection."""
    server = Server(tenth)
    tally = driven(server, Phase(SEATS, 300.0, 0, 1, 3))
    assert server.num_given > 10
    (said,) = tally.errors
    assert said.startswith(word)
    assert tally.errors.total() == server.num_given
    assert tally.latency.count == server.num_requests - server.num_given


def test_refusals_are_counted_apart_and_in_no_time() -> None:
    """By status where they come from a proxy, which has no code; in the server's own words."""
    server = Server(BUSY)
    tally = driven(server, Phase(SEATS, 300.0, 0, 1, 3))
    assert server.num_given > 10
    assert tally.refused == {"429": server.num_given}
    assert tally.details == {"429": "busy"}
    assert tally.latency.count == server.num_requests - server.num_given


def test_who_is_refused_in_a_closed_loop_waits_a_little() -> None:
    """Three sessions that are refused always do not ask for thousands of refusals a second."""
    server = Server(BUSY, every=1)
    tally = driven(server, Phase(SEATS, None, 0, 1, 3))
    assert 3 < tally.refused.total() <= 33
    assert tally.done == 0
