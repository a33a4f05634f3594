"""Latency of an open loop counts from when a request was due, and not from when it was sent."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

from carousel_bench.load.drive import Parent, drive
from carousel_bench.load.phase import Phase
from carousel_bench.load.work import Job, Seat
from carousel_bench.server import endpoint_of
from carousel_bench.settings import STEP
from carousel_bench.tally import Tally, total, within
from carousel_bench.target import read_target
from tests.client.described import describe

REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n1234"
SEATS = (Seat("s", "", ()),)
RATE, SECONDS = 100.0, 3


@dataclass(slots=True)
class StandingServer:
    """Answers at once, but stands still for a second in front of its 50th request. `took_s`: each
    request, by its own clock.
    """

    took_s: list[float] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The one connection, until its client leaves."""
        with suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                came = time.monotonic()
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
                await reader.readexactly(int(length))
                if len(self.took_s) == 50:
                    await asyncio.sleep(1.0)
                writer.write(REPLY)
                self.took_s.append(time.monotonic() - came)
        writer.close()
        await writer.wait_closed()
        self.left.set()


async def _driven(server: StandingServer, phase: Phase) -> Tally:
    """What is counted of a phase."""
    seconds: dict[int, Tally] = {}

    def tell(tallies: dict[int, Tally]) -> None:
        for second, tally in tallies.items():
            seconds.setdefault(second, Tally()).merge(tally)

    async with await asyncio.start_server(server.answer, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        job = Job(
            url=f"http://127.0.0.1:{port}",
            api_key=None,
            target=read_target(describe()),
            kinds=(STEP,),
            weights=(1.0,),
            is_json=False,
            steps=1,
            length=1,
            rows=1,
        )
        parent = Parent(tell, lambda: False)
        await drive(job, endpoint_of(job.url, None), phase, parent)
        await server.left.wait()
    found = within(seconds, SECONDS)
    assert total(seconds.values()).done == len(server.took_s)
    return found


def test_a_server_that_stands_still_is_seen_by_all_who_came_meanwhile() -> None:
    """One session, 100 requests/s, a second of standing still: to the server one request was slow;
    to the 100 who were due in that second it was up to a second, the mean half of it.
    """
    server = StandingServer()
    tally = asyncio.run(_driven(server, Phase(SEATS, RATE, 0, SECONDS, 3)))
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
    tally = asyncio.run(_driven(server, Phase(SEATS, None, 0, SECONDS, 3)))
    assert sum(each > 0.5 for each in server.took_s) == 1
    assert (tally.latency.percentile(98) or 0) < 0.2


def test_what_could_not_be_sent_is_told_and_counts_as_long_as_it_waited() -> None:
    """Far more than one session can do: what is left at the end is no small number in silence, and
    the percentiles have it.
    """
    server = StandingServer()
    tally = asyncio.run(_driven(server, Phase(SEATS, 500_000.0, 0, SECONDS, 3)))
    due = tally.latency.count
    assert abs(due - 500_000 * SECONDS) < 10_000
    assert due == tally.unsent + len(server.took_s)
    assert tally.unsent > 0.9 * due
    assert 2.0 < (tally.latency.percentile(50) or 0) < 3.5
