"""Large bodies: what they become is known before, they are read one at a time, and in time."""

import asyncio
import threading
import time
import tracemalloc

import numpy as np
import orjson
import pytest

from carousel.service.api.encoding.json_size import JsonSize, LargestRequest
from carousel.service.api.http.memory_budget import COUNTED_BYTES, MemoryBudget
from carousel.service.api.http.transcoder import Transcoder
from carousel.service.errors import DeadlineExceeded, PayloadTooLarge, QueueFull
from tests.harness.fakes import PATIENCE_S, FaultyStore
from tests.harness.inside import ONE, Service, serve
from tests.harness.rig import Rig, settle

UNITS = [
    "0,", "99,", "-1,", "123,", "0.1,", "1e9,", "0.12345678,", "null,", "true,",
    "[],", "[0],", "[[]],", "[0.1,0.2,0.3],", "{},", '{"a":1},', '{"abc":0.5},', '{"a":{}},',
    '{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6},',
    '"",', '"a",', '"ab",', '"é",', '"日",', '"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",', '"日日日日日",',
]  # fmt: skip


def _measured(text: bytes) -> int:
    tracemalloc.start()
    try:
        kept = orjson.loads(text)
        return tracemalloc.get_traced_memory()[0] + len(text) + 0 * len(kept)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("unit", UNITS)
def test_what_json_becomes_is_not_underrated(unit: str) -> None:
    """Whatever it is made of, it takes no more than was said."""
    text = b'{"a":[' + unit.encode() * (400_000 // len(unit)) + b"0]}"
    assert _measured(text) <= JsonSize.of(text).memory


def test_names_of_members_count_too() -> None:
    """Each a string of its own."""
    text = orjson.dumps({f"name {number}": number for number in range(20_000)})
    assert _measured(text) <= JsonSize.of(text).memory


def test_rows_of_numbers_are_not_overrated_by_much() -> None:
    """A body of what it is meant for must not be turned away: twice what it takes, at most."""
    text = orjson.dumps({"inputs": np.random.default_rng(0).standard_normal((4000, 10)).tolist()})
    assert JsonSize.of(text).memory <= 2 * _measured(text)


TEXT = b"[" + b"0," * COUNTED_BYTES + b"0]"


def largest() -> LargestRequest:
    """No bound."""
    return LargestRequest(1, *[10**9] * 3)


def _in(patience_s: float) -> float:
    return time.monotonic() + patience_s


def test_large_bodies_are_read_one_at_a_time_and_counted() -> None:
    """The next waits, no longer than its deadline; nothing is counted once they are read."""

    async def scenario() -> None:
        budget = MemoryBudget(3 * JsonSize.of(TEXT).memory // 2)
        transcoder = Transcoder(budget)
        began, go = threading.Event(), threading.Event()

        def slow() -> str:
            began.set()
            assert go.wait(PATIENCE_S)
            return "slow"

        first = asyncio.ensure_future(transcoder.read(TEXT, _in(PATIENCE_S), slow, largest))
        assert await asyncio.to_thread(began.wait, PATIENCE_S)
        assert budget.held_bytes == JsonSize.of(TEXT).memory
        assert await transcoder.read(b"[]", _in(PATIENCE_S), lambda: "short", largest) == "short"
        with pytest.raises(DeadlineExceeded):
            await transcoder.read(TEXT, _in(0.01), lambda: "never", largest)
        second = asyncio.ensure_future(
            transcoder.read(TEXT, _in(PATIENCE_S), lambda: "second", largest)
        )
        # Who leaves does not let the next one in before the thread is free.
        first.cancel()
        await settle()
        assert not second.done()
        go.set()
        assert await second == "second"
        assert budget.held_bytes == 0

    asyncio.run(scenario())


def test_a_body_that_could_never_fit_is_refused_for_good_and_others_for_now() -> None:
    """413 where all the memory there is would not do, 503 where others have it."""

    async def scenario() -> None:
        with pytest.raises(PayloadTooLarge):
            await Transcoder(MemoryBudget(len(TEXT))).read(TEXT, _in(PATIENCE_S), dict, largest)
        budget = MemoryBudget(JsonSize.of(TEXT).memory)
        budget.take(1)
        transcoder = Transcoder(budget)
        with pytest.raises(QueueFull):
            await transcoder.read(TEXT, _in(PATIENCE_S), dict, largest)
        budget.add(-1)
        assert await transcoder.read(TEXT, _in(PATIENCE_S), lambda: 7, largest) == 7

    asyncio.run(scenario())


@pytest.mark.parametrize("unit", [b"[],", b"{},", b'"",', b"0,"])
@pytest.mark.parametrize(
    "path",
    [
        "/v1/sessions/s/steps",
        "/v1/models/witness/infer",
        "/v2/models/witness/infer",
        "/v1/steps",
        "/v1/sessions",
    ],
)
def test_more_than_any_request_has_is_refused_before_it_is_made(path: str, unit: bytes) -> None:
    """16 MB of empty lists would be half a gigabyte; a tenth of that is more than any request."""

    async def scenario(service: Service) -> None:
        await service.open("s")
        body = b'{"inputs":[' + unit * 600_000 + b"0]}"
        answer = await service.http.post(
            path, content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 422
        assert "sequence_too_long" in answer.text
        assert service.app.budget.held_bytes == 0

    serve(scenario)


def test_rows_are_counted_before_they_are_read() -> None:
    """More than a request may have are refused at once, in /v1/steps before the JSON is parsed."""

    async def scenario(service: Service) -> None:
        sequences = [[[1.0, "no number"]]] * 20_000
        answer = await service.infer(*sequences)
        assert (answer.status_code, answer.json()["code"]) == (422, "sequence_too_long")
        body = b'{"steps":[' + b'{"session_id":"s","inputs":[[1,1]]},' * 10_001 + b"this is no JSON"
        answer = await service.http.post(
            "/v1/steps", content=body, headers={"content-type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "sequence_too_long")

    serve(scenario)


def test_a_deadline_covers_the_looking_up_of_sessions() -> None:
    """A store that does not answer leaves steps refused in time, each by itself where many are."""
    store = FaultyStore()

    async def scenario(service: Service) -> None:
        await service.open("known")
        assert (await service.step("known")).is_success
        store.answers = asyncio.Event()
        body = {"steps": [{"session_id": each, "inputs": ONE} for each in ("known", "cold")]}
        late = {"x-request-timeout-ms": "50"}
        many = await service.http.post("/v1/steps", json=body, headers=late)
        known, cold = many.json()["results"]
        assert cold["error"]["code"] == "deadline_exceeded"
        assert known["error"]["code"] == "deadline_exceeded"
        one = await service.http.post(
            "/v1/sessions/other/steps", json={"inputs": ONE}, headers=late
        )
        assert one.json()["code"] == "deadline_exceeded"
        shown = await service.http.get("/v1/sessions/another", headers=late)
        assert (shown.status_code, shown.json()["code"]) == (504, "deadline_exceeded")
        store.answers.set()
        again = (await service.http.post("/v1/steps", json=body)).json()["results"]
        assert again[0]["position"] == 2
        assert again[1]["error"]["code"] == "session_not_found"

    serve(scenario, Rig(store=store))
