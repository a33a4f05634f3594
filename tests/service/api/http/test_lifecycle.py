"""Loading, draining, clients that leave, and bodies that are bounded, in one process."""

import asyncio
from typing import Any

import pytest

from carousel.service.api.http.body import Bodies
from carousel.service.api.http.lifecycle import Lifecycle, Phase
from carousel.service.api.http.memory_budget import MemoryBudget
from carousel.service.errors import DeadlineExceeded, PayloadTooLarge, QueueFull
from tests.harness.client import refused
from tests.harness.inside import ONE, Service, serve
from tests.harness.rig import play, settle


def test_drain_turns_new_requests_away() -> None:
    """While draining new requests answer 503 `draining`, probes go on, accepted ones finish."""

    async def scenario(service: Service) -> None:
        await service.open("s")
        service.rig.backend.hold()
        accepted = asyncio.ensure_future(service.step("s"))
        await service.rig.backend.entered()
        draining = asyncio.ensure_future(service.app.drain(0, 10))
        await settle()
        for answer in (
            await service.step("s"),
            await service.http.get("/v1/models"),
            await service.http.get("/v1/sessions"),
        ):
            refused(answer, 503, "draining")
            assert answer.headers["retry-after"]
        assert (await service.http.get("/livez")).status_code == 200
        assert (await service.http.get("/metrics")).status_code == 200
        ready = await service.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert not draining.done()
        service.rig.backend.go()
        assert (await accepted).json()["position"] == 1
        await draining

    serve(scenario)


def test_loading_service_is_not_ready() -> None:
    """While models are loaded the service answers probes and pages, and 503 to the rest."""

    async def scenario(service: Service) -> None:
        service.app.lifecycle.phase = Phase.LOADING
        refused(await service.infer(ONE), 503, "model_unavailable")
        refused(await service.http.get("/v1/models"), 503, "model_unavailable")
        ready = await service.http.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "loading")
        assert (await service.http.get("/docs")).status_code == 200

    serve(scenario)


class Leaver:
    """A client that sends one step whole, and is gone as soon as anybody looks."""

    def __init__(self, session_id: str) -> None:
        body = b'{"inputs": [[1, 1]]}'
        self.sent: list[Any] = []
        self._messages = [{"type": "http.request", "body": body, "more_body": False}]
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": "POST",
            "path": f"/v1/sessions/{session_id}/steps",
            "query_string": b"",
            "headers": [(b"host", b"localhost")],
        }

    async def receive(self) -> dict[str, Any]:
        """The step, and then that nobody is there."""
        return self._messages.pop() if self._messages else {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        """Keep what would have been sent."""
        self.sent.append(message)


def test_client_that_left_is_not_run() -> None:
    """A request whose client went away before it ran is dropped and not run."""

    async def scenario(service: Service) -> None:
        service.rig.backend.hold()
        first = asyncio.ensure_future(service.infer(ONE))
        await service.rig.backend.entered()
        await service.open("s")
        leaver = Leaver("s")
        await service.app.gate(leaver.scope, leaver.receive, leaver.send)
        assert not leaver.sent
        service.rig.backend.go()
        assert (await first).status_code == 200
        assert (await service.step("s")).json()["position"] == 1
        status = 'route="/v1/sessions/{session_id}/steps",status="499"'
        assert status in (await service.http.get("/metrics")).text

    serve(scenario)


def test_bodies_are_bounded_together() -> None:
    """What large bodies hold is bounded over all requests, and given back when they end."""
    budget = MemoryBudget(150_000)
    bodies = Bodies(budget, max_bytes=100_000, timeout_s=1)

    async def scenario() -> None:
        first = await bodies.read({}, _pieces(b"x" * 50_000, b"y" * 30_000))
        assert first == b"x" * 50_000 + b"y" * 30_000
        with pytest.raises(QueueFull):
            await bodies.read({}, _pieces(b"x" * 50_000, b"y" * 30_000))
        bodies.release(first)
        for _ in range(3):
            bodies.release(await bodies.read({}, _pieces(b"x" * 50_000, b"y" * 30_000)))
        with pytest.raises(PayloadTooLarge):
            await bodies.read({}, _pieces(b"x" * 50_000, b"y" * 50_001))
        with pytest.raises(PayloadTooLarge):
            await bodies.read({b"content-length": b"100001"}, _pieces())
        small = await bodies.read({}, _pieces(b"x", b"y"))
        bodies.release(small)
        assert budget.held_bytes == 0

    play(scenario)


def test_body_that_does_not_come_is_given_up() -> None:
    """A body that stops in the middle is given up after the deadline."""
    budget = MemoryBudget(1000)
    bodies = Bodies(budget, max_bytes=100, timeout_s=0.01)

    async def scenario() -> None:
        with pytest.raises(DeadlineExceeded, match="only 3 bytes"):
            await bodies.read({}, _pieces(b"abc", end=False))
        assert budget.held_bytes == 0

    play(scenario)


def test_drain_waits_for_the_last() -> None:
    """`refuse` comes back when the last accepted request is answered, at once if there is none."""
    lifecycle = Lifecycle()

    async def scenario() -> None:
        lifecycle.accept()
        lifecycle.accept()
        waiting = asyncio.ensure_future(lifecycle.refuse())
        await settle()
        lifecycle.answered()
        await settle()
        assert not waiting.done()
        lifecycle.answered()
        await waiting
        await lifecycle.refuse()

    play(scenario)


def _pieces(*pieces: bytes, end: bool = True) -> Any:
    """A `receive` that gives these pieces, and then nothing more."""
    left = [
        {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1 or not end}
        for index, piece in enumerate(pieces)
    ]

    async def receive() -> Any:
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive
