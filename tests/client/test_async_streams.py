"""Streams of the asynchronous client that end before their inputs do."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from carousel_client import AsyncClient
from carousel_client.errors import InvalidRequest
from tests.client.client_rig import F, X, close, run_eager
from tests.harness.client import MODEL
from tests.harness.faulty_proxy import Fault, FaultyProxy
from tests.harness.live import Live

if TYPE_CHECKING:
    from tests.harness.served import Served

# The first the client refuses, the second the server.
WRONG = (X[3:4, :9], np.full((1, F), np.nan, np.float32))


def now(last: Any) -> Iterator[Any]:
    """Three time steps in two inputs, and what comes then."""
    yield X[:1]
    yield X[1:3]
    if isinstance(last, Exception):
        raise last
    yield last
    yield X[3:]


async def later(last: Any) -> AsyncIterator[Any]:
    """The same from an asynchronous iterable."""
    for each in now(last):
        await asyncio.sleep(0)
        yield each


@pytest.mark.parametrize("ahead", [8, 1])
@pytest.mark.parametrize("source", [now, later])
@pytest.mark.parametrize("last", [*WRONG, ZeroDivisionError("x")])
def test_what_fails_comes_after_the_outputs_before_it(
    live: Live, served: "dict[str, Served]", source: Any, last: Any, ahead: int
) -> None:
    """An input or the source: what was done before is given, `position` says how much it was, and
    the stream is over.
    """
    whole = run_eager(served)

    async def run() -> None:
        async with AsyncClient(live.url) as client, client.session(MODEL) as session:
            stream = session.stream(source(last), ahead=ahead)
            for begin, end in ((0, 1), (1, 3)):
                close(await anext(stream), whole.output[begin:end])
            with pytest.raises((InvalidRequest, ZeroDivisionError)):
                await anext(stream)
            assert session.position == 3
            assert [y async for y in stream] == []
            assert (await session.info()).position == 3
            close(await session.step(X[3:]), whole.output[3:])

    asyncio.run(run())


class Stop(BaseException):
    """What a signal raises."""


def test_who_gives_up_closing_a_stream_leaves_no_gap(
    live: Live, served: "dict[str, Served]"
) -> None:
    """An output that does not come keeps `aclose` waiting; the call after one that was cancelled
    asks how far the session came.
    """

    async def run(proxy: FaultyProxy) -> None:
        def source() -> Iterator[Any]:
            yield X[:1]
            proxy.arm(Fault.SILENCE, b"")
            yield X[1:2]
            raise Stop

        async with AsyncClient(f"http://127.0.0.1:{proxy.port}") as client:
            session = await client.session(MODEL)
            stream = session.stream(source())
            with pytest.raises(Stop):
                await anext(stream)
            await asyncio.to_thread(proxy.wait_struck)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await stream.aclose()
            found = await session.step(X[12:13])
            done = session.position - 1
            assert done in (1, 2)
            fed = np.concatenate([X[:done], X[12:13]])
            close(found, run_eager(served, fed).output[-1:])
            await session.delete()

    with FaultyProxy(int(live.url.rpartition(":")[2])) as proxy:
        asyncio.run(run(proxy))


def test_a_stream_that_is_closed_leaves_the_position_right(live: Live) -> None:
    """After `async with`, with no call between, `position` is behind what was sent ahead."""

    async def run() -> None:
        async with AsyncClient(live.url) as client, client.session(MODEL) as session:
            async with session.stream(X[:, None]) as stream:
                async for _ in stream:
                    break
            stranger = await client.attach(session.id)
            assert session.position == stranger.position > 1

    asyncio.run(run())
