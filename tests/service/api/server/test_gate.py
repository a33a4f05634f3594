"""Errors that a socket cannot bring about at will, around the witness in one process."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from carousel.service.api.http.authenticator import TENANT
from carousel.service.sessions.session_record import SessionRecord
from carousel.service.sessions.stores.base import Write
from carousel.service.sessions.stores.memory import MemoryStore
from tests.harness.client import RAW, refused
from tests.harness.fakes import FaultyStore
from tests.harness.inside import ONE, Service, serve
from tests.harness.rig import Rig, settle


def test_backend_failure_costs_one_row() -> None:
    """A row that the program fails on answers 500 without insides; its neighbours are served."""

    async def scenario(service: Service) -> None:
        await service.open("good")
        await service.open("bad")
        poison = [[service.rig.backend.poison] * 2]
        good, bad = await asyncio.gather(service.step("good"), service.step("bad", poison))
        assert good.json()["position"] == 1
        problem = refused(bad, 500, "backend_failed")
        assert problem["advanced"] is False
        assert "poison" not in bad.text
        refused(await service.infer(ONE, poison), 500, "backend_failed")

    serve(scenario)


def test_lost_device_is_not_alive() -> None:
    """When the device is lost, its model answers 503 and /livez says no."""

    async def scenario(service: Service) -> None:
        answer = await service.infer([[service.rig.backend.fatal] * 2])
        problem = refused(answer, 503, "model_unavailable")
        assert problem["advanced"] is False
        assert answer.headers["retry-after"]
        alive = await service.http.get("/livez")
        assert (alive.status_code, alive.json()["failed"]) == (503, ["witness/1"])

    serve(scenario)


def test_full_queue_says_when_to_come_again() -> None:
    """A full queue answers 503 with Retry-After; nothing was advanced."""

    async def scenario(service: Service) -> None:
        service.rig.backend.hold()
        first = asyncio.ensure_future(service.infer(ONE))
        await service.rig.backend.entered()
        answer = await service.infer(ONE)
        assert refused(answer, 503, "queue_full")["advanced"] is False
        assert answer.headers["retry-after"] == "1"
        service.rig.backend.go()
        assert (await first).status_code == 200

    serve(scenario, Rig(max_requests=1))


def test_deadline_is_the_clients() -> None:
    """A request that has not started by its own deadline answers 504; nothing was advanced."""

    async def scenario(service: Service) -> None:
        service.rig.backend.hold()
        first = asyncio.ensure_future(service.infer(ONE))
        await service.rig.backend.entered()
        late = asyncio.ensure_future(service.infer(ONE, **{"X-Request-Timeout-Ms": "1"}))
        deadline = time.monotonic() + 0.002
        while time.monotonic() < deadline:
            await settle()
        service.rig.backend.go()
        problem = refused(await late, 504, "deadline_exceeded")
        assert problem["advanced"] is False
        assert (await first).status_code == 200

    serve(scenario, Rig(max_rows=1))


def test_lost_answer_of_the_store_is_unknown() -> None:
    """Where the store's answer was lost, nobody claims to know whether the step counted."""
    store = FaultyStore()

    async def scenario(service: Service) -> None:
        await service.open("s")
        store.lose = "after"
        problem = refused(await service.step("s", position=0), 503, "store_unavailable")
        assert problem["advanced"] == "unknown"
        again = await service.step("s", position=0)
        assert (again.json()["position"], again.headers["carousel-replayed"]) == (1, "true")
        store.away = True
        answer = await service.http.get("/v1/sessions/s/state")
        assert "advanced" not in refused(answer, 503, "store_unavailable")
        store.away = False

    serve(scenario, Rig(store=store))


def test_full_store_is_a_limit() -> None:
    """A full memory store answers 429 and says when to try again."""

    async def scenario(service: Service) -> None:
        answer = await service.http.post("/v1/sessions", json={"model": "witness"})
        refused(answer, 429, "session_limit")
        assert answer.headers["retry-after"]

    serve(scenario, Rig(store=FaultyStore(MemoryStore(10))))


def test_poisoned_state_is_refused() -> None:
    """A step that would leave a state that is not finite is refused, and the session stays."""

    async def scenario(service: Service) -> None:
        await service.open("s")
        huge = [[3e38, 1.0]]
        assert (await service.step("s", huge)).status_code == 200
        problem = refused(await service.step("s", huge), 422, "non_finite_state")
        assert problem["advanced"] is False
        assert (await service.step("s", position=1)).json()["position"] == 2

    serve(scenario)


def test_expired_session_is_gone() -> None:
    """A session that was idle for too long answers 410."""
    rig = Rig(ttl_s=60)

    async def scenario(service: Service) -> None:
        await service.open("s")
        rig.clock.now += 61
        assert refused(await service.step("s"), 410, "session_expired")["advanced"] is False
        refused(await service.http.get("/v1/sessions/s"), 410, "session_expired")

    serve(scenario, rig)


def test_large_reply_is_kept_while_it_is_the_last() -> None:
    """A large reply is kept as the very last one; as an older one it makes room and is refused."""

    async def scenario(service: Service) -> None:
        await service.open("s")
        path, body = "/v1/sessions/s/steps", np.ones((600, 2), "<f4").tobytes()
        headers = RAW | {"Carousel-Position": "0"}
        first = await service.http.post(path, content=body, headers=headers)
        again = await service.http.post(path, content=body, headers=headers)
        assert again.headers["carousel-replayed"] == "true"
        assert again.content == first.content
        assert (await service.step("s", position=600)).is_success
        answer = await service.http.post(path, content=body, headers=headers)
        assert refused(answer, 409, "position_conflict")["position"] == 601

    serve(scenario)


def test_corrupt_state_is_told() -> None:
    """A stored state that cannot be the session's answers 500 and is not stepped."""
    store = FaultyStore()

    async def scenario(service: Service) -> None:
        await service.open("s")
        old = await store.record("s", TENANT)
        short = SessionRecord(replace(old.meta, revision=bytes(16)), old.state[:-4])
        await store.inner.write([Write(old.meta.revision, short)])
        assert refused(await service.step("s"), 500, "state_corrupt")["advanced"] is False

    serve(scenario, Rig(store=store))


def test_state_of_an_older_step_is_not_kept() -> None:
    """A retry of an older step is answered again, but not with its state."""

    async def scenario(service: Service) -> None:
        await service.open("s")
        for position in range(3):
            await service.step("s", position=position)
        assert (await service.step("s", position=0)).headers["carousel-replayed"] == "true"
        problem = refused(
            await service.step("s", position=0, return_state=True), 409, "reply_not_kept"
        )
        assert problem["position"] == 3
        last = await service.step("s", position=2, return_state=True)
        assert last.json()["state"] == {"h": [[3.0, 3.0]]}

    serve(scenario)


def test_defect_tells_only_a_number(caplog: pytest.LogCaptureFixture) -> None:
    """A defect of ours answers 500 with a number that the log knows, on both planes."""

    async def scenario(service: Service) -> None:
        async def broken(*args: object, **more: object) -> None:
            raise ZeroDivisionError("the secret of the house")

        await service.open("s")

        def fails(*args: object, **more: object) -> None:
            raise ZeroDivisionError("the secret of the house")

        service.rig.engine.enqueue = fails  # type: ignore[method-assign]
        service.rig.sessions.info = broken  # type: ignore[assignment,method-assign]
        body = {"steps": [{"session_id": "s", "inputs": ONE}]}
        bulk = (await service.http.post("/v1/steps", json=body)).json()["results"][0]["error"]
        for problem in (
            refused(await service.step("s"), 500, "internal"),
            refused(await service.http.get("/v1/sessions/s"), 500, "internal"),
            bulk,
        ):
            assert "secret" not in str(problem)
            assert "ZeroDivision" not in str(problem)
            assert problem["request_id"] in caplog.text

    serve(scenario)
