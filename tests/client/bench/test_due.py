"""Latency of an open loop counts from when a request was due, and not from when it was sent."""

import asyncio
import time
from dataclasses import dataclass, field

from carousel_bench.load.phase import Phase
from carousel_bench.load.work import Seat
from tests.client.bench.fake_server import REPLY, driven, read_request

SEATS = (Seat("s", "", ()),)
RATE, SECONDS = 100.0, 3


@dataclass(slots=True)
class StandingServer:
    """Answers at once, but stands still for a second in front of its 50th request. `took_s`: each
    request, by its own clock.
    """

    took_s: list[float] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The one connection."""
        while True:
            await read_request(reader)
            came = time.monotonic()
            if len(self.took_s) == 50:
                await asyncio.sleep(1.0)
            writer.write(REPLY)
            self.took_s.append(time.monotonic() - came)


def test_a_server_that_stands_still_is_seen_by_all_who_came_meanwhile() -> None:
    """One session, 100 requests/s, a second of standing still: to the server one request was slow;
    to the 100 who were due in that second it was up to a second, the mean half of it.
    """
    server = StandingServer()
    tally = driven(server, Phase(SEATS, RATE, 0, SECONDS, 3))
    assert sum(each > 0.5 for each in server.took_s) == 1
    # Due in the second of standing still, about a third of all: half of these waited half of it.
    waited = tally.latency
    assert 0.4 < (waited.percentile(85) or 0) < 1.0
    assert (waited.percentile(98) or 0) > 0.8
    assert tally.queued > 50
    assert tally.unsent == 0


def test_a_closed_loop_does_not_see_it() -> None:
    """Its one session waits, so nobody else comes: that is why the open loop is there."""
    server = StandingServer()
    tally = driven(server, Phase(SEATS, None, 0, SECONDS, 3))
    assert sum(each > 0.5 for each in server.took_s) == 1
    assert (tally.latency.percentile(98) or 0) < 0.2


def test_what_could_not_be_sent_is_told_and_counts_as_long_as_it_waited() -> None:
    """Far more than one session can do: what is left at the end is no small number in silence, and
    the percentiles have it.
    """
    server = StandingServer()
    tally = driven(server, Phase(SEATS, 500_000.0, 0, SECONDS, 3))
    due = tally.latency.count
    assert abs(due - 500_000 * SECONDS) < 10_000
    assert due == tally.unsent + len(server.took_s)
    assert tally.unsent > 0.9 * due
    assert 2.0 < (tally.latency.percentile(50) or 0) < 3.5
