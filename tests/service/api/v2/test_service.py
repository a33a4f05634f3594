"""The Open Inference Protocol around the witness: batches, and what a troubled service answers."""

import asyncio

from carousel.service.api.http.lifecycle import Phase
from tests.harness.inside import Service, serve
from tests.harness.rig import Rig, settle, witness_engine, witness_model
from tests.service.api.v2.oip import failed, read
from tests.service.api.v2.oip_witness import document, infer, sums


def test_sequences_share_a_batch() -> None:
    """What comes while one batch runs goes together in the next, natives and stateless ones too."""

    async def scenario(service: Service) -> None:
        await service.open("native")
        for number in (1, 2, 3):
            await infer(service, number, sequence_id=number, sequence_start=True)
        service.rig.backend.hold()
        first = asyncio.ensure_future(infer(service, 9))
        await service.rig.backend.entered()
        others = [
            asyncio.ensure_future(infer(service, 10, sequence_id=number)) for number in (1, 2, 3)
        ]
        others.append(asyncio.ensure_future(infer(service, 5)))
        native = asyncio.ensure_future(service.step("native"))
        await settle()
        service.rig.backend.go()
        assert sums(await first) == [9]
        assert [sums(await each) for each in others] == [[11], [12], [13], [5]]
        assert (await native).json()["outputs"] == [[1, 1]]
        assert service.rig.backend.batches[-1] == (5, 1)

    serve(scenario)


def test_a_step_that_cannot_start_in_time_is_504() -> None:
    """In the protocol's form, and the sequence stays where it was."""

    async def scenario(service: Service) -> None:
        await infer(service, 1, sequence_id=1, sequence_start=True)
        service.rig.backend.hold()
        first = asyncio.ensure_future(infer(service, 2, sequence_id=1))
        await service.rig.backend.entered()
        late = await infer(service, 4, sequence_id=1, headers={"X-Request-Timeout-Ms": "1"})
        failed(late, 504, "deadline_exceeded")
        service.rig.backend.go()
        assert sums(await first) == [3]
        assert sums(await infer(service, 8, sequence_id=1)) == [11]

    serve(scenario)


def test_a_full_queue_is_503_and_says_when_to_come_again() -> None:
    """In the protocol's form."""

    async def scenario(service: Service) -> None:
        service.rig.backend.hold()
        first = asyncio.ensure_future(infer(service, 2))
        await service.rig.backend.entered()
        full = await infer(service, 2)
        failed(full, 503, "queue_full")
        assert full.headers["retry-after"]
        service.rig.backend.go()
        assert sums(await first) == [2]

    serve(scenario, Rig(max_requests=1))


def test_a_store_that_fails_leaves_the_client_in_no_doubt_about_its_doubt() -> None:
    """503, and whether the state moved is not known."""

    async def scenario(service: Service) -> None:
        await infer(service, 1, sequence_id=1, sequence_start=True)
        service.rig.store.lose = "after"
        lost = await infer(service, 2, sequence_id=1, position=1)
        assert "whether the state moved is not known" in failed(lost, 503, "store_unavailable")
        again = await infer(service, 2, sequence_id=1, position=1)
        assert read(again)[0]["parameters"]["replayed"] is True
        assert sums(again) == [3]

    serve(scenario)


def test_a_row_that_fails_is_500() -> None:
    """Of a sequence and without one; the sequence stays where it was."""

    async def scenario(service: Service) -> None:
        poison = service.rig.backend.poison
        await infer(service, 1, sequence_id=1, sequence_start=True)
        failed(await infer(service, poison, sequence_id=1), 500, "backend_failed")
        failed(await infer(service, poison), 500, "backend_failed")
        assert sums(await infer(service, 1, sequence_id=1)) == [2]

    serve(scenario)


def test_a_defect_of_ours_is_told_by_a_number() -> None:
    """500 in the protocol's form, without what went wrong inside."""

    async def scenario(service: Service) -> None:
        async def broken(key: object) -> object:
            raise ZeroDivisionError("secret")

        service.rig.store.inner.load = broken  # type: ignore[method-assign, assignment]
        text = failed(await infer(service, 1, sequence_id=1), 500, "internal")
        assert "secret" not in text

    serve(scenario)


def test_loading_and_draining_are_told_in_its_form() -> None:
    """503 to requests; probes tell what is the matter, and liveness stays."""

    async def scenario(service: Service) -> None:
        for phase, code, status in (
            (Phase.LOADING, "model_unavailable", "loading"),
            (Phase.REFUSING, "draining", "draining"),
        ):
            service.app.lifecycle.phase = phase
            failed(await infer(service, 1), 503, code)
            failed(await service.http.get("/v2/models/witness"), 503, code)
            ready = await service.http.get("/v2/health/ready")
            assert ready.status_code == 503
            assert ready.json() == {"live": True, "ready": False, "error": status}
            live = await service.http.get("/v2/health/live")
            assert (live.status_code, live.json()) == (200, {"live": True})
        service.app.lifecycle.phase = Phase.READY
        ready = await service.http.get("/v2/health/ready")
        assert (ready.status_code, ready.json()) == (200, {"live": True, "ready": True})

    serve(scenario)


def test_a_lost_device_is_told() -> None:
    """The model is not ready, and the process not live."""

    async def scenario(service: Service) -> None:
        ready = await service.http.get("/v2/models/witness/ready")
        assert (ready.status_code, ready.json()) == (200, {"name": "witness", "ready": True})
        failed(await infer(service, service.rig.backend.fatal), 503, "model_unavailable")
        ready = await service.http.get("/v2/models/witness/ready")
        assert ready.status_code == 503
        assert ready.json()["ready"] is False
        live = await service.http.get("/v2/health/live")
        assert (live.status_code, live.json()["live"]) == (503, False)
        failed(await infer(service, 1), 503, "model_unavailable")

    serve(scenario)


def test_a_version_in_the_path_is_the_sequences_own() -> None:
    """A sequence runs on the version that it began on; another that is named is a conflict."""

    async def scenario(service: Service) -> None:
        await infer(service, 1, sequence_id=1, sequence_start=True)
        path = "/v2/models/witness/versions/1/infer"
        good = await service.http.post(path, json=document(2, sequence_id=1))
        assert sums(good) == [3]
        other = witness_model(witness_engine(), version=2, state_id="other")
        service.rig.serve(service.rig.model, other)
        assert sums(await infer(service, 3, sequence_id=1)) == [6]
        path = "/v2/models/witness/versions/2/infer"
        refused = await service.http.post(path, json=document(2, sequence_id=1))
        assert "runs on version 1" in failed(refused, 409, "model_mismatch")
        anew = await service.http.post(path, json=document(2, sequence_id=1, sequence_start=True))
        shown, _ = read(anew)
        assert shown["model_version"] == "2"
        assert shown["parameters"]["restarted"] is True

    serve(scenario)


def test_errors_of_the_store_are_told_while_it_is_away() -> None:
    """503 for a sequence that is not in memory; the probe says no only after some seconds."""

    async def scenario(service: Service) -> None:
        service.rig.store.away = True
        failed(await infer(service, 1, sequence_id=1), 503, "store_unavailable")
        failed(
            await infer(service, 1, sequence_id=1, sequence_start=True), 503, "store_unavailable"
        )
        assert (await service.http.get("/v2/health/ready")).status_code == 200

    serve(scenario)
