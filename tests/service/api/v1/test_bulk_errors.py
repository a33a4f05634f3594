"""What a request of many steps takes where all of them are refused."""

import tracemalloc

import orjson

from tests.harness.inside import Service, serve

_NUM_STEPS = 5000


def test_refused_steps_take_no_more_than_their_answers() -> None:
    """Not what each of the errors came through, as much again in frames, until all are told."""
    peaks: list[int] = []

    async def scenario(service: Service) -> None:
        names = (f"nobody-{index}" for index in range(_NUM_STEPS))
        steps = [{"session_id": each, "inputs": [[1, 2]]} for each in names]
        body = orjson.dumps({"steps": steps})
        headers = {"Content-Type": "application/json"}
        tracemalloc.start()
        try:
            answer = await service.http.post("/v1/steps", content=body, headers=headers)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert answer.status_code == 200
        results = answer.json()["results"]
        assert [each["error"]["code"] for each in results] == ["session_not_found"] * _NUM_STEPS

    serve(scenario)
    assert peaks[0] < 3500 * _NUM_STEPS, peaks[0] / _NUM_STEPS
