"""Streams where clients misbehave or vanish, in one process, around the witness."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from carousel.service.api.http.authenticator import TENANT
from tests.harness.fakes import PATIENCE_S
from tests.harness.rig import Rig, settle, until
from tests.harness.site import Site, on_a_socket, total

STEP = np.ones((1, 2), "<f4").tobytes()


@asynccontextmanager
async def stream(site: Site, session_id: str) -> AsyncIterator[ClientConnection]:
    """A stream of a session, greeted."""
    url = f"ws://127.0.0.1:{site.port}/v1/sessions/{session_id}/stream"
    async with connect(url, compression=None, max_size=None) as ws:
        assert isinstance(await ws.recv(), str)
        yield ws


async def sums(ws: ClientConnection) -> list[float]:
    """The running sums in the next binary reply."""
    data = await asyncio.wait_for(ws.recv(), PATIENCE_S)
    assert isinstance(data, bytes), data
    return [float(value) for value in np.frombuffer(data, "<f4").reshape(-1, 2)[:, 0]]


async def close_code(ws: ClientConnection) -> int | None:
    """What the server closed with, after whatever still comes."""
    with suppress(ConnectionClosed):
        async for _ in ws:
            pass
    return ws.close_code


def test_a_step_of_a_client_that_vanished_is_committed_and_replayed() -> None:
    """It ran already; the next stream gets its reply again."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        async with stream(site, "s") as ws:
            site.rig.backend.hold()
            await ws.send(STEP)
            await site.rig.backend.entered()
            ws.transport.abort()
        site.rig.backend.go()
        await until(lambda: not site.service.app.streams.streams)
        url = f"ws://127.0.0.1:{site.port}/v1/sessions/s/stream?position=1&replies=binary"
        async with connect(url) as again:
            assert '"position":2' in str(await again.recv())
            assert await sums(again) == [1]
        assert await total(site, "s") == 1

    on_a_socket(scenario)


def test_frames_behind_a_vanished_client_are_not_run() -> None:
    """What waited for its turn is dropped, and nothing counts it as unanswered."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        async with stream(site, "s") as ws:
            site.rig.backend.hold()
            for _ in range(5):
                await ws.send(STEP)
            await site.rig.backend.entered()
            await settle()
            ws.transport.abort()
        await until(lambda: site.service.app.lifecycle.num_accepted <= 1)
        site.rig.backend.go()
        await until(lambda: site.service.app.lifecycle.num_accepted == 0)
        assert await total(site, "s") == 1

    on_a_socket(scenario)


def test_a_newer_stream_waits_for_the_running_step() -> None:
    """The older gets its reply, what it had not yet run is dropped, and then it is closed 4409."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        async with stream(site, "s") as older:
            site.rig.backend.hold()
            for _ in range(3):
                await older.send(STEP)
            await site.rig.backend.entered()
            await settle()
            url = f"ws://127.0.0.1:{site.port}/v1/sessions/s/stream"
            async with connect(url) as newer:
                greeted = asyncio.ensure_future(newer.recv())
                await settle(200)
                assert not greeted.done()
                site.rig.backend.go()
                assert await sums(older) == [1]
                assert await close_code(older) == 4409
                assert '"position":2' in str(await greeted)
                await newer.send(STEP)
                assert await sums(newer) == [2]

    on_a_socket(scenario)


def test_frames_behind_a_refused_one_are_refused_as_it_was() -> None:
    """With its code, whatever they hold, until one names its position."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        async with stream(site, "s") as ws:
            for frame in (b"\0\0\0", STEP, "{}"):
                await ws.send(frame)
            refused = [json.loads(await ws.recv())["error"]["code"] for _ in range(3)]
            await ws.send('{"inputs": [[1, 1]], "position": 1}')
            answered = json.loads(await ws.recv())
            await ws.send(STEP)
            assert refused == ["shape_mismatch"] * 3
            assert (answered["outputs"], answered["position"]) == ([[1, 1]], 2)
            assert await sums(ws) == [2]

    on_a_socket(scenario)


def test_a_client_that_never_reads_is_held_back_and_closed() -> None:
    """Its frames stop being run once its replies pile up; in the end it is sent away."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        site.service.app.streams.services.client_timeout_s = 0.5
        frame = np.zeros((8000, 2), "<f4").tobytes()
        head = bytes([0x82, 0x80 | 127]) + len(frame).to_bytes(8, "big") + bytes(4)
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
        key = base64.b64encode(bytes(16))
        writer.write(
            b"GET /v1/sessions/s/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
            % key
        )
        assert b" 101 " in await reader.readuntil(b"\r\n")
        sent = 0
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while sent < 4000:
                    writer.write(head + frame)
                    await writer.drain()
                    sent += 1
        assert sent < 4000, "a gigabyte of replies was taken in"
        await until_gone(site)
        assert site.service.app.lifecycle.num_accepted == 0
        writer.close()

    on_a_socket(scenario)


def test_a_client_that_answers_no_ping_is_gone() -> None:
    """The session is free for the next stream; it was not deleted."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        site.service.app.streams.services.client_timeout_s = 0.2
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        key = base64.b64encode(bytes(16))
        writer.write(
            b"GET /v1/sessions/s/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %b\r\n\r\n"
            % key
        )
        await until(lambda: site.service.app.streams.streams)
        await until_gone(site)
        assert (await site.rig.sessions.info(TENANT, "s")).position == 1
        writer.close()

    on_a_socket(scenario)


def test_sessions_that_left_memory_stream_on() -> None:
    """A stream outlives its session's stay in the pool."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        async with stream(site, "s") as ws:
            for expected in (1, 2, 3):
                await ws.send(STEP)
                assert await sums(ws) == [expected]
                await site.rig.crowd_out()
            site.rig.clock.now += 120
            await site.rig.sessions.sweep()
            assert site.rig.sessions.num_in_memory == 0
            await ws.send(STEP)
            assert await sums(ws) == [4]

    on_a_socket(scenario, Rig(num_slots=3))


def test_an_unknown_outcome_is_said_and_the_frame_may_come_again() -> None:
    """503 with advanced unknown; named again it is replayed or run, and never doubled."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        async with stream(site, "s") as ws:
            site.rig.store.lose = "after"
            await ws.send(STEP)
            error = str(await ws.recv())
            assert '"store_unavailable"' in error
            assert '"advanced":"unknown"' in error
            await ws.send('{"position": 1}')
            assert await ws.recv() == '{"position":1}'
            await ws.send(STEP)
            assert await sums(ws) == [1]
        assert await total(site, "s") == 1

    on_a_socket(scenario)


async def until_gone(site: Site) -> None:
    """Wait until no stream is left."""
    soon = asyncio.get_running_loop().time() + PATIENCE_S
    while site.service.app.streams.streams:
        assert asyncio.get_running_loop().time() < soon, "it is still there"
        await settle()
