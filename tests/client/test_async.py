"""The asynchronous client against a service over a socket; what is written once for both clients is
tested with the other one.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from carousel_client import AsyncClient
from carousel_client.errors import (
    ConnectionLost,
    PositionConflict,
    SessionNotFound,
    ShapeMismatch,
    TakenOver,
)
from tests.client.client_rig import F, Phoenix, X, close, run_eager
from tests.harness.client import MODEL, numbers
from tests.harness.faulty_proxy import Fault, FaultyProxy
from tests.harness.live import Live
from tests.harness.process import PATIENCE_S

if TYPE_CHECKING:
    from tests.harness.served import Served


class Feed:
    """Inputs that come when they are put."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def put(self, x: Any) -> None:
        """One more; None ends it."""
        self._queue.put_nowait(x)

    async def __aiter__(self) -> AsyncIterator[Any]:
        while (x := await self._queue.get()) is not None:
            yield x


def test_all_calls_work(live: Live, served: "dict[str, Served]") -> None:
    """Models, whole sequences, sessions awaited and entered, states, forks, streams."""
    whole = run_eager(served)

    async def run() -> None:
        async with AsyncClient(live.url) as client:
            assert MODEL in [each.name for each in await client.models()]
            assert (await client.model(MODEL)).outputs[0].shape == ("time", 20)
            close(await client.infer(MODEL, X), whole.output)
            ended = await client.infer(MODEL, [X, X[:2]], return_state=True)
            close(ended.state[0]["h"], whole.h)
            async with client.session(MODEL) as session:
                parts = [await session.step(X[:3])]
                parts += [y async for y in session.stream(X[3:9, None])]
                state = await session.state()
                async with session.fork() as fork:
                    close(await fork.step(X[9:]), whole.output[9:])
                (other,) = await session.forks(["client-async-fork"])
                await other.delete()
                found = await session.step(X[9:], return_state=True)
                close(np.concatenate([*parts, found.outputs]), whole.output)
                close(found.state["c"], whole.c)
                assert (await session.set_state(state, 9)).position == session.position == 9
                assert (await session.reset()).position == (await session.info()).position == 0
            named = await client.session(MODEL, session_id="client-async", ttl_s=60)
            await named.step(X[:2])
            async with client.attach("client-async") as again:
                assert again.position == 2
            assert "client-async" in [each.session_id for each in await client.sessions()]
            await named.delete()
            for session_id in (session.id, fork.id, "client-async"):
                with pytest.raises(SessionNotFound):
                    await client.attach(session_id)

    asyncio.run(run())


def test_an_output_does_not_wait_for_the_next_input(
    live: Live, served: "dict[str, Served]"
) -> None:
    """With live input each output is there before another input comes, also with several ahead."""
    whole = run_eager(served)

    async def run() -> None:
        feed = Feed()
        async with AsyncClient(live.url) as client, client.session(MODEL) as session:
            stream = session.stream(feed)
            for index in range(6):
                feed.put(X[index : index + 1])
                async with asyncio.timeout(PATIENCE_S):
                    close(await anext(stream), whole.output[index : index + 1])
            for index in range(6, 12):
                feed.put(X[index : index + 1])
            found = [await anext(stream) for _ in range(6)]
            close(np.concatenate(found), whole.output[6:12])
            feed.put(None)
            assert [y async for y in stream] == []
            assert session.position == 12

    asyncio.run(run())


def test_who_gives_up_waiting_loses_nothing(live: Live, served: "dict[str, Served]") -> None:
    """An output that is waited for in vain, with a time-out, comes at the next try."""
    whole = run_eager(served)

    async def run() -> None:
        feed = Feed()
        async with AsyncClient(live.url) as client, client.session(MODEL) as session:
            stream = session.stream(feed)
            for index in range(4):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await anext(stream)
                feed.put(X[index : index + 1])
                close(await anext(stream), whole.output[index : index + 1])
            await stream.aclose()
            close(await session.step(X[4:]), whole.output[4:])

    asyncio.run(run())


def test_a_cancelled_step_may_be_tried_again(live: Live, served: "dict[str, Served]") -> None:
    """Done or not, the same step again is safe."""
    whole = run_eager(served)

    async def run() -> None:
        with FaultyProxy(int(live.url.rpartition(":")[2])) as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            async with AsyncClient(url) as client, client.session(MODEL) as session:
                await session.step(X[:1])
                proxy.arm(Fault.SILENCE, b"/steps")
                step = asyncio.ensure_future(session.step(X[1:5]))
                await asyncio.to_thread(proxy.wait_struck)
                step.cancel()
                await asyncio.wait({step})
                assert session.position == 1
                found = await session.step(X[1:5], return_state=True)
                assert found.replayed
                close(found.outputs, whole.output[1:5])
                close(await session.step(X[5:]), whole.output[5:])

    asyncio.run(run())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_restarts_are_not_noticed(
    repository: Path, served: "dict[str, Served]", tmp_path: Path, number: signal.Signals
) -> None:
    """Many sessions step and stream while the service ends and starts again: each has the outputs
    of one eager run.
    """
    expected = run_eager(served, LONG).output

    async def run(phoenix: Phoenix) -> None:
        begun, gone = asyncio.Event(), asyncio.Event()

        async def rows() -> AsyncIterator[Any]:
            for index in range(len(LONG)):
                if index == 20:
                    begun.set()
                elif index == 60:
                    await gone.wait()
                yield LONG[index : index + 1]

        async def restart() -> None:
            await begun.wait()
            await asyncio.to_thread(phoenix.end, number)
            gone.set()
            await asyncio.to_thread(phoenix.rise)

        async with AsyncClient(phoenix.url) as client:

            async def step() -> Any:
                async with client.session(MODEL) as session:
                    return [await session.step(x) async for x in rows()]

            async def stream() -> Any:
                async with client.session(MODEL) as session:
                    return [y async for y in session.stream(rows())]

            tasks = [step() for _ in range(2)] + [stream() for _ in range(2)]
            *found, _ = await asyncio.gather(*tasks, restart())
        for each in found:
            close(np.concatenate(each), expected)

    with Phoenix(repository, tmp_path) as phoenix:
        asyncio.run(run(phoenix))


LONG = numbers(120, F, seed=14)


@pytest.mark.parametrize("fault", [Fault.LOSE_REPLY, Fault.LOSE_COMMAND, Fault.CUT_REPLY])
@pytest.mark.parametrize("is_live", [False, True])
def test_frames_that_are_lost_are_done_once(
    live: Live, served: "dict[str, Served]", fault: Fault, is_live: bool
) -> None:
    """In the middle of a stream, from either kind of iterable."""
    whole = run_eager(served)

    async def run() -> None:
        with FaultyProxy(int(live.url.rpartition(":")[2])) as proxy:

            def now() -> Any:
                for index in range(24):
                    if index == 11:
                        proxy.arm(fault, b"")
                    yield X[index : index + 1]

            async def later() -> Any:
                for x in now():
                    await asyncio.sleep(0)
                    yield x

            url = f"http://127.0.0.1:{proxy.port}"
            async with AsyncClient(url) as client, client.session(MODEL) as session:
                stream = session.stream(later() if is_live else now())
                close(np.concatenate([y async for y in stream]), whole.output)
                assert proxy.num_struck == 1
                assert (await session.info()).position == 24

    asyncio.run(run())


def test_a_stream_that_is_left_leaves_no_gap(live: Live, served: "dict[str, Served]") -> None:
    """What was sent ahead is done; the next call goes on behind it, and the loop that is taken up
    again says that its outputs were given up.
    """
    whole = run_eager(served)

    async def run() -> None:
        taken: list[int] = []

        async def source() -> AsyncIterator[Any]:
            for index in range(24):
                taken.append(index)
                yield X[index : index + 1]

        async with AsyncClient(live.url) as client, client.session(MODEL) as session:
            stream = session.stream(source())
            async for _ in stream:
                break
            await session.info()
            done = session.position
            assert 1 <= done <= len(taken)
            close(await session.step(X[done:]), whole.output[done:])
            with pytest.raises(RuntimeError, match="ended this stream"):
                await anext(stream)

    asyncio.run(run())


def test_errors_are_typed(live: Live) -> None:
    """As with the other client, over HTTP and over a stream."""

    async def run() -> None:
        async with AsyncClient(live.url) as client, client.session(MODEL) as session:
            with pytest.raises(ShapeMismatch):
                await session.step(X[0])
            stranger = await client.attach(session.id)
            await stranger.step(X[:2])
            for call in (session.step(X[:1]), anext(session.stream([X[:1]]))):
                with pytest.raises(PositionConflict) as caught:
                    await call
                assert caught.value.position == 2
            await session.info()
            older = session.stream(X[2:, None], ahead=1)
            await anext(older)
            await stranger.info()
            newer = stranger.stream(X[3:, None], ahead=1)
            await anext(newer)
            with pytest.raises(TakenOver):
                await anext(older)
            await newer.aclose()
            with pytest.raises(RuntimeError, match="another call"):
                await asyncio.gather(*(stranger.step(X[:1]) for _ in range(2)))

    async def alone() -> None:
        async with AsyncClient("http://127.0.0.1:9", retry_s=0) as client:
            with pytest.raises(ConnectionLost):
                await client.models()

    asyncio.run(run())
    asyncio.run(alone())
