"""Servers that a test writes, and a phase that one process drives against them."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Protocol

from carousel_bench.load.drive import Parent, drive
from carousel_bench.load.phase import Phase
from carousel_bench.load.work import Job
from carousel_bench.server import endpoint_of
from carousel_bench.settings import STEP
from carousel_bench.tally import Tally, total
from carousel_bench.target import read_target
from tests.client.described import describe

REPLY = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n1234"


class Server(Protocol):
    """Answers the requests of each connection, until its client leaves or it ends it."""

    def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None]:
        """One connection."""
        ...


async def read_request(reader: asyncio.StreamReader) -> None:
    """A whole request; raises IncompleteReadError where there is none any more."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
    await reader.readexactly(int(length))


def driven(server: Server, phase: Phase) -> Tally:
    """What is counted of a phase of steps, and of what is answered after its end."""
    return asyncio.run(_driven(server, phase))


async def _driven(server: Server, phase: Phase) -> Tally:
    seconds: dict[int, Tally] = {}

    def tell(tallies: dict[int, Tally]) -> None:
        for second, tally in tallies.items():
            seconds.setdefault(second, Tally()).merge(tally)

    connections: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.append(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await server.answer(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listener:
        job = Job(
            url=f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}",
            api_key=None,
            target=read_target(describe()),
            kinds=(STEP,),
            weights=(1.0,),
            is_json=False,
            steps=1,
            length=1,
            rows=1,
        )
        await drive(job, endpoint_of(job.url, None), phase, Parent(tell, lambda: False))
        await asyncio.gather(*connections)
    return total(seconds.values())
