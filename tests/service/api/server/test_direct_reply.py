"""Steps that are answered without a task: the same answers, in order, and nothing left behind."""

import asyncio
from dataclasses import replace

import numpy as np
import orjson

from carousel.service.api.http.authenticator import TENANT
from carousel.service.sessions.session_record import SessionRecord
from carousel.service.sessions.stores.base import Write
from tests.harness.fakes import PATIENCE_S
from tests.harness.rig import settle, until
from tests.harness.site import BODY, Site, on_a_socket, step, total

JSON = b"application/json"


def test_steps_of_one_connection_are_answered_in_order() -> None:
    """Requests sent at once, of either kind, are answered in the order they came."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        line = await site.connect()
        line.send(
            step("a"), b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", step("a"), step("a")
        )
        assert await line.sums() == [1]
        assert (await line.answer())[0] == 200
        assert await line.sums() == [2]
        assert await line.sums() == [3]
        line.send(step("a"))
        assert await line.sums() == [4]

    on_a_socket(scenario)


def test_a_step_in_pieces_is_one_step() -> None:
    """However the network cuts a request, it runs once."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        line = await site.connect()
        whole = step("a")
        for cut in (10, len(whole) - len(BODY), len(whole) - 3):
            line.send(whole[:cut])
            await line.writer.drain()
            await settle()
            line.send(whole[cut:])
            assert len(await line.sums()) == 1
        assert await total(site, "a") == 3

    on_a_socket(scenario)


def test_answers_are_those_of_the_usual_way() -> None:
    """With and without a task, a step has the same status, headers and body."""

    async def scenario(site: Site) -> None:
        bad = b'{"inputs": [[1, 2, 3]]}'
        for name, body in (("raw", BODY), ("json", b'{"inputs": [[1, 1]]}'), ("bad", bad)):
            kind = JSON if name != "raw" else b"application/octet-stream"
            answers = []
            for way, extra in (("direct", ()), ("usual", (b"Expect: 100-continue",))):
                await site.open(f"{name}-{way}")
                line = await site.connect()
                lines = (b"Content-Type: " + kind, b"X-Request-ID: the-same", *extra)
                line.send(step(f"{name}-{way}", body, *lines))
                if extra:
                    await line.reader.readuntil(b"100 Continue\r\n\r\n")
                status, headers, answer = await line.answer()
                headers.pop(b"date")
                answers.append((status, headers, answer))
            assert answers[0] == answers[1]

    on_a_socket(scenario)


def test_a_repeat_and_a_conflict_are_told_as_ever() -> None:
    """What must not simply run goes the usual way: the reply again, or the true position."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        line = await site.connect()
        named = (b"Content-Type: application/octet-stream", b"Carousel-Position: 1")
        line.send(step("a", BODY, *named))
        first = await line.answer()
        line.send(step("a", BODY, *named))
        again = await line.answer()
        assert first[2] == again[2]
        assert again[1][b"carousel-replayed"] == b"true"
        line.send(step("a", BODY, named[0], b"Carousel-Position: 7"))
        status, _, body = await line.answer()
        assert (status, orjson.loads(body)["position"]) == (409, 2)

    on_a_socket(scenario)


def test_a_client_that_left_before_its_step_ran_did_not_step() -> None:
    """The connection is lost while the step waits: it is dropped, and nothing was advanced."""

    async def scenario(site: Site) -> None:
        for each in ("a", "b"):
            await site.open(each)
        first, second = await site.connect(), await site.connect()
        site.rig.backend.hold()
        first.send(step("a"))
        await site.rig.backend.entered()
        second.send(step("b"))
        await until(lambda: site.rig.engine.num_pending == 2)
        second.writer.transport.abort()
        await until(lambda: len(site.server.server_state.connections) == 1)
        site.rig.backend.go()
        assert await first.sums() == [1]
        await until(lambda: site.rig.engine.num_pending == 0)
        assert await total(site, "b") == 0
        assert site.service.app.lifecycle.num_accepted == 0

    on_a_socket(scenario)


def test_a_step_whose_write_was_lost_is_judged_anew() -> None:
    """Another process wrote the session: the step runs from where it stands now, and answers so."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        store = site.rig.store
        line = await site.connect()
        store.hold()
        line.send(step("a"))
        await store.held()
        record = await store.record("a", TENANT)
        head = replace(record.meta, revision=b"e" * 16, position=40)
        row = np.full(2, 70, "<f4").tobytes().ljust(len(record.state), b"\0")
        elsewhere = SessionRecord(head, row)
        await store.inner.write([Write(record.meta.revision, elsewhere)])
        await store.release()
        assert await line.sums() == [71]
        assert await total(site, "a") == 71

    on_a_socket(scenario)


def test_a_drain_answers_steps_under_way() -> None:
    """What was accepted is answered, the connection then closed."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        line = await site.connect()
        site.rig.backend.hold()
        line.send(step("a"))
        await site.rig.backend.entered()
        draining = asyncio.ensure_future(site.service.app.drain(0, PATIENCE_S))
        await settle()
        assert not draining.done()
        site.rig.backend.go()
        status, headers, _ = await line.answer()
        assert (status, headers[b"connection"]) == (200, b"close")
        await draining
        async with asyncio.timeout(PATIENCE_S):
            assert await line.reader.read() == b""

    on_a_socket(scenario)


def test_an_idle_connection_is_closed_and_a_busy_one_is_not() -> None:
    """The time that a connection may be idle is counted from its last answer."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        line = await site.connect()
        site.rig.backend.hold()
        line.send(step("a"))
        await site.rig.backend.entered()
        other = await site.connect()
        other.send(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert (await other.answer())[0] == 200
        async with asyncio.timeout(PATIENCE_S):
            assert await other.reader.read() == b""
        site.rig.backend.go()
        assert await line.sums() == [1]
        async with asyncio.timeout(PATIENCE_S):
            assert await line.reader.read() == b""

    on_a_socket(scenario, keep_alive_s=1)
