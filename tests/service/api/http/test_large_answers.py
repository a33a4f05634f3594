"""Large answers: counted before they are made, bounded, the same as small ones, and cut where
nobody reads them.
"""

import asyncio

import numpy as np
import orjson
from websockets.asyncio.client import connect

from carousel.service.api.http.unread import Unread
from tests.harness.client import refused
from tests.harness.fakes import PATIENCE_S
from tests.harness.inside import Service, serve
from tests.harness.rawstream import dial, message
from tests.harness.rig import until
from tests.harness.site import BODY, Site, on_a_socket, total

STEPS = 9_999
ROWS = [[1, 1]] * STEPS
OIP = {"name": "x", "shape": [1, STEPS, 2], "datatype": "FP32", "data": [1] * (2 * STEPS)}


def test_large_answers_say_what_small_ones_do() -> None:
    """By every route, the numbers are the running sums that they should be."""

    async def scenario(service: Service) -> None:
        expected = np.repeat(np.arange(1, STEPS + 1, dtype="<f4"), 2).reshape(-1, 2)
        for each in ("a", "b"):
            await service.open(each)
        one = (await service.step("a", ROWS, return_state=True)).json()
        assert one["position"] == STEPS
        many = {"steps": [{"session_id": "b", "inputs": ROWS}, {"session_id": "no", "inputs": 1}]}
        results = (await service.http.post("/v1/steps", json=many)).json()["results"]
        assert results[1]["error"]["code"] == "session_not_found"
        infer = (await service.infer(ROWS)).json()
        path = "/v2/models/witness/infer"
        oip = (await service.http.post(path, json={"inputs": [OIP]})).json()
        asked = {"inputs": [OIP], "parameters": {"sequence_id": 3, "sequence_start": True}}
        start = (await service.http.post(path, json=asked)).json()
        flat = oip["outputs"][0]["data"]
        assert flat == start["outputs"][0]["data"]
        for found in (
            one["outputs"], results[0]["outputs"], infer["outputs"][0], np.reshape(flat, (-1, 2))
        ):  # fmt: skip
            np.testing.assert_array_equal(np.asarray(found, "<f4"), expected)
        assert service.app.budget.held_bytes == 0

    serve(scenario)


def _bound(service: Service, num_bytes: int) -> None:
    service.app.budget.max_bytes = num_bytes


def test_an_answer_that_never_fits_is_refused_before_it_runs() -> None:
    """422 by every route, and nothing moved; 503 where others have the memory now."""

    async def scenario(service: Service) -> None:
        await service.open("a")
        _bound(service, 400_000)
        path, kind = "/v1/sessions/a/steps", {"content-type": "application/octet-stream"}
        answer = await service.http.post(path, content=BODY * STEPS, headers=kind)
        assert refused(answer, 422, "sequence_too_long")["advanced"] is False
        infer = "/v1/models/witness/infer"
        refused(
            await service.http.post(infer, content=BODY * STEPS, headers=kind),
            422,
            "sequence_too_long",
        )
        _bound(service, 10**7)
        service.app.budget.take(10**7 - 200_000)
        answer = await service.http.post(path, content=BODY * STEPS, headers=kind)
        assert refused(answer, 503, "queue_full")["advanced"] is False
        service.app.budget.add(200_000 - 10**7)
        answer = await service.http.post(path, content=BODY * STEPS, headers=kind)
        assert answer.status_code == 200
        assert answer.headers["carousel-position"] == str(STEPS)
        assert service.app.budget.held_bytes == 0

    serve(scenario)


def test_a_stream_s_large_replies_are_counted_too() -> None:
    """In both encodings, and refused where they never fit."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        url = f"ws://127.0.0.1:{site.port}/v1/sessions/a/stream"
        async with connect(url, compression=None, max_size=None) as ws:
            await ws.recv()
            await ws.send(BODY * STEPS)
            data = await asyncio.wait_for(ws.recv(), PATIENCE_S)
            assert isinstance(data, bytes)
            assert np.frombuffer(data, "<f4")[-1] == STEPS
            await ws.send(orjson.dumps({"inputs": ROWS}).decode())
            told = orjson.loads(await asyncio.wait_for(ws.recv(), PATIENCE_S))
            assert told["outputs"][-1] == [2 * STEPS] * 2
            _bound(site.service, 400_000)
            await ws.send(BODY * STEPS)
            told = orjson.loads(await asyncio.wait_for(ws.recv(), PATIENCE_S))
            assert told["error"]["code"] == "sequence_too_long"
        assert await total(site, "a") == 2 * STEPS
        assert site.service.app.budget.held_bytes == 0

    on_a_socket(scenario)


def test_a_stream_that_nobody_reads_is_counted_and_cut() -> None:
    """As an answer over HTTP is (test_front_door.py)."""

    async def scenario(site: Site) -> None:
        await site.open("a")
        services = site.service.app.streams.services
        services.unread = Unread(services.budget, timeout_s=0.2)
        site.service.app.gate.unread = services.unread
        async with dial(site, "/v1/sessions/a/stream") as raw:
            await raw.text()
            raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(20):
                raw.send(message(BODY * STEPS))
            await until(lambda: not site.server.server_state.connections)
        await until(lambda: services.budget.held_bytes == 0)
        assert site.service.app.lifecycle.num_accepted == 0

    on_a_socket(scenario, send_bytes=16_384)
