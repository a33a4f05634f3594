"""What clients may have the service hold for messages that are not whole, or wait."""

import asyncio

import numpy as np
import pytest
from websockets.frames import Frame, Opcode

from carousel.service.api.http.authenticator import Authenticator
from carousel.service.api.http.memory_budget import MemoryBudget
from carousel.service.api.streams.call import read_headers, with_key
from carousel.service.api.streams.closing import Close
from carousel.service.api.streams.fragments import MAX_FRAMES
from tests.harness.fakes import PATIENCE_S
from tests.harness.rawstream import RawStream, dial, message
from tests.harness.rig import settle, until
from tests.harness.site import Site, on_a_socket, total

STEP = np.ones((1, 2), "<f4").tobytes()


def steps(num: int) -> bytes:
    """A message of as many time steps."""
    return message(STEP * num)


def test_a_message_has_only_so_many_frames() -> None:
    """Empty ones would go on for ever: closed 1009. As many as may be, and it is whole."""

    async def scenario(site: Site) -> None:
        await site.open("s")
        async with dial(site, "/v1/sessions/s/stream") as raw:
            await raw.text()
            pieces = [Frame(Opcode.BINARY, STEP[:1], fin=False)]
            pieces += [Frame(Opcode.CONT, b"", fin=False)] * (MAX_FRAMES - 2)
            raw.send(b"".join(each.serialize(mask=True) for each in pieces))
            raw.send(message(STEP[1:], Opcode.CONT))
            assert await raw.frame() == (Opcode.BINARY, STEP)
            raw.send(b"".join(each.serialize(mask=True) for each in pieces))
            raw.send(message(b"", Opcode.CONT, fin=False) * 2)
            assert await raw.close_code() == 1009
            await raw.ended()
            assert await total(site, "s") == 1

    on_a_socket(scenario)


def test_messages_that_are_not_whole_are_bounded_together() -> None:
    """Whoever asks for more than is left is closed 1013; the others go on."""

    async def scenario(site: Site) -> None:
        budget = site.service.app.streams.services.budget = MemoryBudget(150_000)
        for name in ("a", "b", "c"):
            await site.open(name)
        async with dial(site, "/v1/sessions/a/stream") as first:
            await first.text()
            first.send(steps(10_000)[:80_000])
            await until(lambda: budget.held_bytes == 80_000)
            async with dial(site, "/v1/sessions/b/stream") as in_one:
                in_one.send(steps(10_000)[:69_000])
                await until(lambda: budget.held_bytes == 149_000)
                in_one.send(bytes(2000))
                assert await in_one.close_code() == 1013
                await in_one.ended()
            async with dial(site, "/v1/sessions/c/stream") as in_several:
                in_several.send(message(bytes(30_000), fin=False))
                in_several.send(message(bytes(39_000), Opcode.CONT, fin=False))
                await until(lambda: budget.held_bytes == 149_000)
                in_several.send(message(bytes(2000), Opcode.CONT, fin=False))
                assert await in_several.close_code() == 1013
                await in_several.ended()
            assert budget.held_bytes == 80_000
            first.send(steps(10_000)[80_000:])
            opcode, data = await first.frame()
            assert (opcode, len(data)) == (Opcode.BINARY, 80_000)
            assert budget.held_bytes == 0
            first.send(steps(10_000)[:70_000])
            await until(lambda: budget.held_bytes == 70_000)
        await until(lambda: not budget.held_bytes)

    on_a_socket(scenario)


def test_a_message_before_the_greeting_is_counted() -> None:
    """It waits while another stream's step runs, and is answered."""

    async def scenario(site: Site) -> None:
        budget = site.service.app.streams.services.budget
        await site.open("s")
        async with dial(site, "/v1/sessions/s/stream") as older:
            await older.text()
            site.rig.backend.hold()
            older.send(message(STEP))
            await site.rig.backend.entered()
            async with dial(site, "/v1/sessions/s/stream", steps(10_000)) as newer:
                await until(lambda: budget.held_bytes == 80_000)
                site.rig.backend.go()
                assert (await newer.text())["position"] == 2
                assert len((await newer.frame())[1]) == 80_000
                assert budget.held_bytes == 0

    on_a_socket(scenario)


def test_frames_that_wait_are_counted_and_held_back() -> None:
    """Without room for more nothing is read; all of it is answered in the end, in order."""

    async def scenario(site: Site) -> None:
        budget = site.service.app.streams.services.budget = MemoryBudget(100_000)
        await site.open("s")
        async with dial(site, "/v1/sessions/s/stream") as raw:
            await raw.text()
            site.rig.backend.hold()
            writing = asyncio.ensure_future(_write(raw, steps(2000), 40))
            await site.rig.backend.entered()
            await until(lambda: budget.held_bytes >= 100_000)
            (stream,) = site.service.app.streams.streams.values()
            site.rig.backend.go()
            for count in range(40):
                opcode, data = await raw.frame()
                assert opcode is Opcode.BINARY
                assert np.frombuffer(data, "<f4")[0] == 2000 * count + 1
            await writing
            assert "idle" in repr(stream)
            assert budget.held_bytes == 0

    on_a_socket(scenario)


@pytest.mark.parametrize("way", ["taken over", "ended", "lost"])
def test_frames_that_wait_are_let_go_with_the_stream(way: str) -> None:
    """At once, and not when the step ends that runs meanwhile; a drain waits for that one alone."""

    async def scenario(site: Site) -> None:
        budget = site.service.app.streams.services.budget
        await site.open("s")
        async with dial(site, "/v1/sessions/s/stream") as raw:
            await raw.text()
            site.rig.backend.hold()
            for _ in range(3):
                raw.send(steps(10_000))
            await site.rig.backend.entered()
            (stream,) = site.service.app.streams.streams.values()
            await until(lambda: "waiting=2" in repr(stream))
            held_bytes = budget.held_bytes
            if way == "taken over":
                leaving = asyncio.ensure_future(stream.give_up())
            elif way == "ended":
                stream.end(Close.GOING_AWAY, "enough")
            else:
                stream.lost()
            await settle()
            assert held_bytes - budget.held_bytes >= 2 * 80_000
            site.rig.backend.go()
            await until(lambda: not budget.held_bytes)
            if way == "taken over":
                await leaving
            async with asyncio.timeout(PATIENCE_S):
                await site.service.app.lifecycle.refuse()
        assert await total(site, "s") == 10_000

    on_a_socket(scenario)


def test_subprotocols_may_come_on_several_lines() -> None:
    """The key is found on whichever line it is."""
    name = "Sec-WebSocket-Protocol"
    lines = [(name, "bearer.b3Blbi1zZXNhbWU"), ("Host", "example.org"), (name, "carousel.v1")]
    for each in (lines, lines[::-1]):
        Authenticator("open-sesame").admit(with_key(read_headers(each)))


async def _write(raw: RawStream, frame: bytes, count: int) -> None:
    for _ in range(count):
        raw.send(frame)
        await raw.writer.drain()


@pytest.mark.parametrize(
    "text", [b"\xff", b'{"inputs": [[1, 1]], "\xc3": 1}', b'"\xed\xa0\x80"', b"\xc0"]
)
@pytest.mark.parametrize("refused_before", [False, True])
def test_text_that_is_not_utf8_ends_a_stream(text: bytes, refused_before: bool) -> None:
    """Closed 1007, once what came before is answered; whole or in pieces, and after a refusal."""

    async def scenario(site: Site) -> None:
        for pieces in ([message(text, Opcode.TEXT)], _in_bytes(text)):
            async with dial(site, "/v1/models/witness/stream") as raw:
                await raw.text()
                raw.send(steps(1))
                if refused_before:
                    raw.send(message(b"{}", Opcode.TEXT))
                raw.send(b"".join(pieces))
                raw.send(steps(1))
                assert await raw.frame() == (Opcode.BINARY, STEP)
                if refused_before:
                    assert "error" in await raw.text()
                assert "UTF-8" in str(await raw.text())
                assert await raw.close_code() == 1007

    on_a_socket(scenario)


def _in_bytes(text: bytes) -> list[bytes]:
    """A text message of as many frames as bytes."""
    last = len(text) - 1
    kinds = [Opcode.TEXT, *[Opcode.CONT] * last]
    return [message(text[at : at + 1], kinds[at], fin=at == last) for at in range(len(text))]
