"""How streams end: who closed first, what is dropped at once, and that nothing is left behind."""

import asyncio
import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from websockets.frames import Opcode

from carousel.service.api.http.authenticator import TENANT
from carousel.service.api.streams.closing import Close
from carousel.service.api.streams.connection import StreamConnection
from carousel.service.api.streams.message import Frame
from carousel.service.api.streams.stream import Stream
from carousel.service.errors import SessionNotFound
from tests.harness.fakes import PATIENCE_S
from tests.harness.inside import Service, serve
from tests.harness.rawstream import RawStream, dial, message, upgrade
from tests.harness.rig import settle, until
from tests.harness.site import Site, on_a_socket, total

STEP = np.ones((1, 2), "<f4").tobytes()


class BrokenLink:
    """A connection that fails when it is written to."""

    def send(self, data: bytes, *, is_text: bool) -> None:
        """Send nothing."""
        raise RuntimeError("the handler is closed")

    def close(self, code: Close, reason: str) -> None:
        """It is closed."""

    def hold_back(self, held: bool) -> None:
        """Nothing comes."""


class Line(asyncio.Transport):
    """A transport that fails as uvloop's does, once it is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_lost = False
        self.is_read = True

    def write(self, data: Any) -> None:
        """Keep what is written."""
        if self.is_lost:
            raise RuntimeError("the handler is closed")
        self.written += data

    def get_write_buffer_size(self) -> int:
        """All of it is taken."""
        return 0

    def is_closing(self) -> bool:
        """Whether it is lost."""
        return self.is_lost

    def pause_reading(self) -> None:
        """Take nothing more."""
        self.is_read = False

    def resume_reading(self) -> None:
        """Take more."""
        self.is_read = True


async def connected(service: Service, line: Line) -> StreamConnection:
    """A stream of the session "s", greeted."""
    await service.open("s")
    assert (await service.step("s", [[0, 0]])).status_code == 200
    connection = StreamConnection(service.app.streams, set())
    connection.connection_made(line)
    connection.upgraded(upgrade("/v1/sessions/s/stream"), b"")
    await until(lambda: b"session_id" in line.written)
    return connection


@pytest.mark.parametrize(
    "frame", [STEP, b'{"position":1}', b"{}"], ids=["step", "position", "wrong"]
)
def test_a_frame_whose_answer_cannot_be_sent_is_over(frame: bytes) -> None:
    """It counts as answered, and a newer stream does not wait for it."""

    async def scenario(service: Service) -> None:
        await service.open("s")
        assert (await service.step("s", [[0, 0]])).status_code == 200
        stream = Stream(service.app.streams.services, BrokenLink(), TENANT, "s", "/stream")
        stream.reached = 1
        with suppress(RuntimeError):
            stream.receive(Frame(frame, frame != STEP, time.monotonic()))
        await asyncio.wait_for(stream.give_up(), PATIENCE_S)
        assert service.app.lifecycle.num_accepted == 0

    serve(scenario)


def test_a_lost_connection_is_not_written_to() -> None:
    """From the moment it is lost: what waits is dropped, and what runs is committed unanswered."""

    async def scenario(service: Service) -> None:
        line = Line()
        connection = await connected(service, line)
        service.rig.backend.hold()
        for _ in range(3):
            connection.data_received(message(STEP))
        await service.rig.backend.entered()
        assert service.app.lifecycle.num_accepted == 3
        line.is_lost = True
        connection.connection_lost(ConnectionResetError())
        assert service.app.lifecycle.num_accepted == 1
        connection.send(b"{}", is_text=True)
        connection.close(Close.TAKEN_OVER, "")
        service.rig.backend.go()
        await until(lambda: not service.app.streams.streams)
        assert service.app.lifecycle.num_accepted == 0
        assert service.app.streams.services.budget.held_bytes == 0
        assert (await service.rig.sessions.info(TENANT, "s")).position == 2

    serve(scenario)


def test_a_client_that_reads_again_is_not_read_while_its_frames_pile_up() -> None:
    """Two reasons to read nothing: both must have gone."""

    async def scenario(service: Service) -> None:
        line = Line()
        connection = await connected(service, line)
        connection.hold_back(True)
        connection.pause_writing()
        connection.resume_writing()
        assert not line.is_read
        connection.hold_back(False)
        assert line.is_read
        connection.connection_lost(None)
        await until(lambda: not service.app.streams.streams)

    serve(scenario)


@pytest.mark.parametrize("code", [1000, 1001, None])
def test_the_answer_to_a_close_deletes_nothing(code: int | None) -> None:
    """Many clients answer every close with 1000: the session of a drained stream lives on."""

    async def scenario(site: Site) -> None:
        async with dial(site, "/v1/models/witness/stream") as raw:
            session_id = str((await raw.text())["session_id"])
            site.service.app.streams.end_all()
            assert await raw.close_code() == 1012
            raw.answer_close(code)
            await raw.ended()
            await until(lambda: not site.service.app.streams.streams)
            assert (await site.rig.sessions.info(TENANT, session_id)).position == 0

    on_a_socket(scenario)


def test_a_close_without_a_code_is_a_normal_one() -> None:
    """As of close() in a browser: the session that was opened for the stream is deleted."""

    async def scenario(site: Site) -> None:
        async with dial(site, "/v1/models/witness/stream") as raw:
            session_id = str((await raw.text())["session_id"])
            raw.answer_close(None)
            assert await raw.frame() == (Opcode.CLOSE, b"")
            await raw.ended()
            await until(lambda: not site.service.app.streams.streams)
            await settle()
            with pytest.raises(SessionNotFound):
                await site.rig.sessions.info(TENANT, session_id)

    on_a_socket(scenario)


def test_a_refused_client_that_sent_ahead_is_closed_at_once() -> None:
    """Its answer to the close is read, behind the frames that nobody takes any more."""

    async def scenario(site: Site) -> None:
        async with dial(site, "/v1/sessions/nobody/stream", message(STEP)) as raw:
            assert "error" in await raw.text()
            assert await raw.close_code() == 4404
            raw.send(message(STEP))
            raw.send(message(STEP[:3], fin=False) + message(STEP[3:], Opcode.CONT))
            raw.answer_close(4404)
            await raw.ended()
            assert site.service.app.lifecycle.num_accepted == 0

    on_a_socket(scenario)


def test_a_client_that_is_held_back_is_closed_at_once() -> None:
    """Its frames pile up and nothing is read; once another stream takes over, its close is."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        async with dial(site, "/v1/sessions/s/stream") as older:
            await older.text()
            site.rig.backend.hold()
            older.send(message(STEP) * 30)
            await site.rig.backend.entered()
            await until(lambda: site.service.app.lifecycle.num_accepted > 16)
            first = list(site.service.app.streams.streams.values())
            async with dial(site, "/v1/sessions/s/stream") as newer:
                await until(lambda: list(site.service.app.streams.streams.values()) != first)
                site.rig.backend.go()
                assert await older.close_code() == 4409
                older.answer_close(4409)
                await older.ended()
                assert (await newer.text())["position"] == 2

    on_a_socket(scenario)


def test_a_stream_that_was_taken_over_ends_though_the_newer_is_gone() -> None:
    """The newer client vanished before it was greeted: the older gets its reply and its close."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        async with dial(site, "/v1/sessions/s/stream") as older:
            await older.text()
            site.rig.backend.hold()
            older.send(message(STEP))
            await site.rig.backend.entered()
            first = list(site.service.app.streams.streams.values())
            async with dial(site, "/v1/sessions/s/stream") as newer:
                await until(lambda: list(site.service.app.streams.streams.values()) != first)
                newer.writer.transport.abort()
                await until(lambda: not site.service.app.streams.streams)
                site.rig.backend.go()
                assert (await older.frame())[0] is Opcode.BINARY
                assert await older.close_code() == 4409
                assert await total(site, "s") == 1

    on_a_socket(scenario)


def test_a_drain_does_not_wait_for_a_client_that_never_reads() -> None:
    """Its frames were accepted, and would wait for it until the drain's time is up."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        site.service.app.streams.services.draining_timeout_s = 0.1
        async with dial(site, "/v1/sessions/s/stream", limit=1024) as raw:
            frame = message(np.zeros((8000, 2), "<f4").tobytes())
            writing = asyncio.ensure_future(_write_on(raw, frame))
            await _until_it_stands(site)
            assert site.service.app.lifecycle.num_accepted > 0
            await asyncio.wait_for(site.service.app.lifecycle.refuse(), PATIENCE_S)
            assert site.service.app.lifecycle.num_accepted == 0
            await writing

    on_a_socket(scenario)


async def _write_on(raw: RawStream, frame: bytes) -> None:
    """Send frames until the server has closed the connection."""
    with suppress(ConnectionError):
        while True:
            raw.send(frame)
            await raw.writer.drain()


async def _until_it_stands(site: Site) -> None:
    """Wait until frames of the one stream wait, turn after turn, and none of them runs."""
    num_turns = 0

    def stands() -> bool:
        nonlocal num_turns
        (text,) = map(repr, site.service.app.streams.streams.values())
        num_turns = num_turns + 1 if "idle" in text and "waiting=0" not in text else 0
        return num_turns > 5

    await until(lambda: site.service.app.streams.streams)
    await until(stands)
