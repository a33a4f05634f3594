"""Sequences by the official client of the Open Inference Protocol, against eager PyTorch."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tritonclient.http import InferenceServerClient as Client
from tritonclient.http import InferenceServerException as Failed
from tritonclient.http.aio import InferenceServerClient as AsyncClient

from tests.harness.client import MODEL, numbers
from tests.harness.live import Live
from tests.harness.served import Served
from tests.service.api.v2.oip_client import expect, given, step, told


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    """The client."""
    client = Client(live.url.removeprefix("http://"))
    yield client
    client.close()


def test_sequences_are_kept_apart(client: Client, served: dict[str, Served]) -> None:
    """Steps of several sequences by turns; integers and strings that look alike are two."""
    ids: list[int | str] = [7, "7", 2**64 - 1, "stream/ä ø", "x" * 128]
    steps = {each: [numbers(2, 10, seed=n + 9 * i) for n in range(4)] for i, each in enumerate(ids)}
    sessions = set()
    for at in range(4):
        for each in ids:
            result = step(client, steps[each][at], each, sequence_start=at == 0)
            expect(served, result, *steps[each][: at + 1])
            parameters = told(result)
            assert parameters["sequence_id"] == each
            assert (parameters["position"], parameters["replayed"]) == (2 * at + 2, False)
            sessions.add(parameters["session_id"])
    assert len(sessions) == len(ids)
    for each in ids:
        result = step(client, steps[each][0], each, sequence_end=True)
        expect(served, result, *steps[each], steps[each][0])


def test_sequences_of_the_asyncio_client(live: Live, served: dict[str, Served]) -> None:
    """Twenty at once, each in its own order."""
    steps = [[numbers(1, 10, seed=100 * n + at) for at in range(6)] for n in range(20)]

    async def stream(client: Any, number: int) -> None:
        for at, x in enumerate(steps[number]):
            result = await client.infer(
                MODEL,
                [given(x[None], binary=number % 2 == 0)],
                sequence_id=f"aio-{number}",
                sequence_start=at == 0,
                sequence_end=at == 5,
            )
            expect(served, result, *steps[number][: at + 1])

    async def run() -> None:
        client = AsyncClient(live.url.removeprefix("http://"))
        assert await client.is_server_live()
        assert (await client.get_model_metadata(MODEL))["name"] == MODEL
        await asyncio.gather(*(stream(client, number) for number in range(20)))
        with pytest.raises(Failed, match="sequence_start") as caught:
            await client.infer(MODEL, [given(steps[0][0][None])], sequence_id="aio-0")
        assert caught.value.status() == "404"
        await client.close()

    asyncio.run(run())


def test_a_start_on_a_live_id_begins_anew_and_says_so(
    client: Client, served: dict[str, Served]
) -> None:
    """Nothing of the sequence before it is left."""
    x, y = numbers(3, 10), numbers(3, 10, seed=8)
    assert "restarted" not in told(step(client, x, 1001, sequence_start=True))
    step(client, x, 1001)
    again = step(client, y, 1001, sequence_start=True)
    assert told(again)["restarted"] is True
    assert told(again)["position"] == 3
    expect(served, again, y)
    expect(served, step(client, x, 1001, sequence_end=True), y, x)


def test_an_unknown_id_and_one_that_ended_are_told_of_the_flag(client: Client) -> None:
    """404, naming sequence_start; a start is welcome again."""
    x = numbers(1, 10)
    with pytest.raises(Failed, match=r"there is no sequence 'never'.*sequence_start") as caught:
        step(client, x, "never")
    assert caught.value.status() == "404"
    step(client, x, "ended", sequence_start=True, sequence_end=True)
    for flags in ({}, {"sequence_end": True}):
        with pytest.raises(Failed, match="sequence_start") as caught:
            step(client, x, "ended", **flags)
        assert caught.value.status() == "404"
    assert "restarted" not in told(step(client, x, "ended", sequence_start=True))
    step(client, x, "ended", sequence_end=True)


def test_native_calls_work_on_a_sequence(client: Client, live: Live) -> None:
    """By its own id: shown, listed, stepped, read; ended, it is unknown to all of them."""
    x = numbers(2, 10)
    session = told(step(client, x, "native", sequence_start=True))["session_id"]
    path = f"/v1/sessions/{session}"
    assert live.client.get(path).json()["position"] == 2
    shown = live.client.get("/v1/sessions").json()["sessions"]
    assert session in [each["session_id"] for each in shown]
    assert live.client.post(f"{path}/steps", json={"inputs": x.tolist()}).json()["position"] == 4
    assert told(step(client, x, "native"))["position"] == 6
    step(client, x, "native", sequence_end=True)
    for method, what in (("GET", ""), ("GET", "/state"), ("POST", "/fork"), ("DELETE", "")):
        answer = live.client.request(method, path + what)
        assert (answer.status_code, answer.json()["code"]) == (404, "session_not_found")
    refused = live.client.post("/v1/sessions", json={"model": MODEL, "session_id": session})
    assert refused.status_code == 422


def test_a_sequence_takes_one_row(client: Client) -> None:
    """A batch of two is refused, and the sequence stays where it was."""
    x = numbers(1, 10)
    step(client, x, 1002, sequence_start=True)
    for flags in ({}, {"sequence_start": True}):
        with pytest.raises(Failed, match="2 rows given; a request of a sequence has one"):
            client.infer(MODEL, [given(numbers(2, 1, 10))], sequence_id=1002, **flags)
    assert told(step(client, x, 1002, position=1))["position"] == 2
