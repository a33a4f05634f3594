"""Columns at fault: one row where it can be told, else the request, with the place named."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from safetensors.numpy import load, save

from carousel.service.sessions.stores.memory import MemoryStore
from tests.harness.client import refused
from tests.harness.fakes import FaultyStore
from tests.harness.inside import Service, serve
from tests.harness.rig import Rig, witness_engine, witness_model
from tests.service.api.v1.columnar.asking import (
    ENCODINGS,
    JSON,
    PATH,
    TENSORS,
    Asking,
    ask_witness,
    body_of,
    sums,
)

IDS = ["a", "b", "c"]
ONES = np.ones((3, 2), np.float32)

each_encoding = pytest.mark.parametrize("encoding", ENCODINGS, ids=["json", "tensors"])


async def _post(service: Service, body: bytes, media: str = JSON, **more: str) -> httpx.Response:
    headers = {"content-type": media} | {
        name.replace("_", "-"): each for name, each in more.items()
    }
    return await service.http.post(PATH, content=body, headers=headers)


async def _open(service: Service, *ids: str) -> None:
    for each in ids:
        await service.open(each)


def _plain(**more: Any) -> bytes:
    document = {"model": "witness", "session_ids": IDS, "inputs": [[1, 1]] * 3} | more
    return json.dumps({name: each for name, each in document.items() if each is not None}).encode()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_its_rows_fault(wrong: float) -> None:
    """In binary; with time and packed too. The row's session stays, and says where it stands."""

    async def scenario(asking: Asking) -> None:
        await _open(asking.service, *IDS)
        told = await asking.ask(IDS, [1, wrong, 1])
        assert sums(told) == [1, None, 1]
        assert told.codes == {1: "non_finite_input"}
        assert told.errors[1]["detail"].startswith("x[1][0]: ")
        timed = await asking.ask(IDS, [[1, 1], [1, wrong], [1, 1]])
        assert timed.errors[1]["detail"].startswith("x[1][1][0]: ")
        packed = await asking.ask(IDS, [1, 1, wrong, 1, 1], lengths=[1, 3, 1])
        assert packed.errors[1]["detail"].startswith("x[2][0]: ")
        assert packed.positions == [4, 0, 4]
        assert sums(packed) == [4, None, None, None, 4]

    ask_witness(scenario, TENSORS)


def test_a_value_that_cannot_be_read_is_its_rows_fault() -> None:
    """In JSON: a number beyond float32, a string, a boolean, a row too short or not a list."""

    async def scenario(service: Service) -> None:
        await _open(service, *IDS)
        for wrong, code, place in (
            ([1, 1e39], "non_finite_input", "inputs[1][1]: "),
            ([1, 2**200], "non_finite_input", "inputs[1][1]: "),
            (["1", 1], "invalid_request", "inputs[1][0]: "),
            ([True, 1], "invalid_request", "inputs[1][0]: "),
            ([1, None], "invalid_request", "inputs[1][1]: "),
            ([1], "shape_mismatch", "inputs[1]: "),
            ([], "shape_mismatch", "inputs[1]: "),
            ([1, [1]], "shape_mismatch", "inputs[1][1]: "),
            ("no list", "invalid_request", "inputs[1]: "),
            ({"1": 1, "2": 2}, "invalid_request", "inputs[1]: "),
        ):
            answer = await _post(service, _plain(inputs=[[1, 1], wrong, [1, 1]]))
            document = answer.json()
            assert [*document["errors"]] == ["1"], wrong
            assert document["errors"]["1"]["code"] == code, wrong
            assert document["errors"]["1"]["detail"].startswith(place), document
            assert document["outputs"][1] is None
            assert document["outputs"][0] is not None
        assert document["positions"] == [10, 0, 10]

    serve(scenario)


@pytest.mark.parametrize(
    ("more", "code", "place"),
    [
        ({"session_ids": ["a", "b", "a"]}, "invalid_request", "session_ids: rows 0, 2 "),
        ({"session_ids": ["a", 1, "c"]}, "invalid_request", "session_ids[1]: "),
        ({"session_ids": []}, "invalid_request", "session_ids: "),
        ({"session_ids": "abc"}, "invalid_request", "session_ids: "),
        ({"model": None}, "invalid_request", "model: "),
        ({"model": 7}, "invalid_request", "model: "),
        ({"version": 0}, "invalid_request", "version: "),
        ({"open": "yes"}, "invalid_request", "open: "),
        ({"ttl_s": 0}, "invalid_request", "ttl_s: "),
        ({"ttl_s": 1e9}, "invalid_request", "ttl_s: "),
        ({"return_state": True}, "invalid_request", "return_state: "),
        ({"positions": [0, 0]}, "shape_mismatch", "positions: "),
        ({"lengths": [1, 1]}, "shape_mismatch", "lengths: "),
        ({"lengths": [1, 1, -1]}, "invalid_request", "lengths[2]: "),
        ({"lengths": [1, 1, 1.0]}, "invalid_request", "lengths[2]: "),
        ({"lengths": [1, 1, True]}, "invalid_request", "lengths[2]: "),
        ({"lengths": [2, 1, 1]}, "shape_mismatch", "inputs: "),
        ({"lengths": [2**62] * 3}, "sequence_too_long", "lengths: "),
        ({"lengths": [1, 1, 2**63]}, "sequence_too_long", "lengths: "),
        ({"lengths": [1, 1, 2**70]}, "invalid_request", "lengths[2]: "),
        ({"inputs": [[1, 1]] * 2}, "shape_mismatch", "inputs: "),
        ({"inputs": [[1, 1, 1]] * 3}, "shape_mismatch", "inputs: "),
        ({"inputs": [[]] * 3}, "shape_mismatch", "inputs: "),
        ({"inputs": [[[]]] * 3}, "shape_mismatch", "inputs: "),
        ({"inputs": [[[1, 1]], [[1, 1], [1, 1]], [[1, 1]]]}, "shape_mismatch", "inputs: rows of 1"),
        ({"inputs": ["x", "y", "z"]}, "invalid_request", "inputs[0]: "),
        ({"inputs": [None, None, None]}, "invalid_request", "inputs[0]: "),
        ({"inputs": 3}, "invalid_request", "inputs: "),
        ({"inputs": {"y": ONES.tolist()}}, "invalid_request", "inputs.y: "),
        ({"inputs": {}}, "invalid_request", "inputs.x: "),
    ],
)
def test_what_is_no_single_rows_fault_is_the_requests(
    more: dict[str, Any], code: str, place: str
) -> None:
    """422 with the place named, and nothing moves."""

    async def scenario(service: Service) -> None:
        await _open(service, *IDS)
        problem = refused(await _post(service, _plain(**more)), 422, code)
        assert problem["detail"].startswith(place), problem["detail"]
        assert (await service.rig.sessions.info("default", "a")).position == 0

    serve(scenario)


def test_ids_twice_name_their_rows() -> None:
    """All rows of one such id, for programs too."""

    async def scenario(service: Service) -> None:
        ids = ["a", "b", "c", "b", "b"]
        body = _plain(session_ids=ids, inputs=[[1, 1]] * 5)
        problem = refused(await _post(service, body), 422, "invalid_request")
        assert problem["rows"] == [1, 3, 4]

    serve(scenario)


@each_encoding
def test_a_position_or_id_at_fault_is_its_rows(encoding: str) -> None:
    """What can be no position; an id that none can be opened by, one of the server's own, two in
    one.
    """

    async def scenario(asking: Asking) -> None:
        await _open(asking.service, "a", "b")
        told = await asking.ask(["a", "b"], [1, 1], positions=[-2, 0])
        assert (told.codes, sums(told)) == ({0: "invalid_request"}, [None, 1])
        ids = ["a b", "v2.0", "x\ny", "", "-x", "y" * 129, "y" * 128]
        told = await asking.ask(ids, [1] * 7, open=True)
        assert told.codes == dict.fromkeys(range(6), "invalid_request")
        assert sums(told)[6] == 1
        assert (await asking.ask(ids[:6], [1] * 6)).codes == dict.fromkeys(
            range(6), "session_not_found"
        )
        zero = await asking.ask(["a", "b"], [1], lengths=[0, 1])
        assert (zero.codes, sums(zero)) == ({0: "shape_mismatch"}, [2])

    ask_witness(scenario, encoding)


def test_positions_in_json_are_integers_or_null() -> None:
    """Each other one is its row's fault."""

    async def scenario(service: Service) -> None:
        await _open(service, *IDS)
        for wrong in (-1, 1.5, "0", True, 2**63, 2**70, [0]):
            told = (await _post(service, _plain(positions=[None, wrong, None]))).json()
            assert [*told["errors"]] == ["1"], wrong
            assert told["errors"]["1"]["detail"].startswith("positions[1]: ")

    serve(scenario)


@each_encoding
def test_a_full_store_refuses_what_it_has_no_room_for(encoding: str) -> None:
    """Rows that would start a session: 429 each; those that are there go on."""

    async def scenario(asking: Asking) -> None:
        await _open(asking.service, "there")
        ids = ["there", *(f"n{number}" for number in range(40))]
        told = await asking.ask(ids, [1] * 41, open=True)
        assert told.positions[0] == 1
        assert set(told.codes.values()) == {"session_limit"}
        assert 0 < len(told.opened) < 40
        assert len(told.opened) + len(told.errors) == 40
        assert not set(told.opened) & set(told.errors)

    # Room for some sessions and not for all: a session of the witness takes about a kilobyte.
    ask_witness(scenario, encoding, Rig(store=FaultyStore(MemoryStore(20_000))))


@each_encoding
def test_models_that_are_not_there(encoding: str) -> None:
    """An unknown model or version: 404 for the request."""

    async def scenario(asking: Asking) -> None:
        for more in ({"model": "nobody"}, {"version": 9}):
            refused(await asking.post(IDS, [1, 1, 1], **more), 404, "model_not_found")

    ask_witness(scenario, encoding)


@each_encoding
def test_a_session_of_another_model_is_its_rows_fault(encoding: str) -> None:
    """409 model_mismatch; one of another version that takes the same goes on at its own."""

    async def scenario(asking: Asking) -> None:
        rig = asking.rig
        other = witness_model(witness_engine(rig.backend), name="other")
        newer = witness_model(witness_engine(rig.backend), version=2, state_id="w2")
        rig.serve(rig.model, other, newer)
        await rig.open("o", tenant="default", model="other")
        await rig.sessions.open("default", model="witness", version=1, session_id="one")
        await rig.sessions.open("default", model="witness", session_id="two")
        told = await asking.ask(["o", "one", "two"], [1, 1, 1])
        assert (told.codes, sums(told)) == ({0: "model_mismatch"}, [None, 1, 1])
        assert told.positions == [0, 1, 1]
        await asking.ask(["new"], [1], open=True, version=1)
        assert (await rig.sessions.info("default", "new")).version == 1

    ask_witness(scenario, encoding)


@each_encoding
def test_the_deadline_covers_the_looking_up(encoding: str) -> None:
    """A store that does not answer: 504 for each row that is not in memory, opened or not."""
    store = FaultyStore()

    async def scenario(asking: Asking) -> None:
        await _open(asking.service, "known")
        assert (await asking.ask(["known"], [1])).errors == {}
        store.answers = asyncio.Event()
        for asked in ({"open": True}, {}):
            told = await asking.ask(["known", "cold"], [1, 1], late_ms=80, **asked)
            assert told.codes[1] == "deadline_exceeded"
        store.answers.set()
        assert (await asking.ask(["cold"], [1], open=True)).errors == {}

    ask_witness(scenario, encoding, Rig(store=store))


@each_encoding
def test_more_rows_than_the_queue_holds(encoding: str) -> None:
    """A request waits for room in the model's queue rather than be refused by its own rows."""

    async def scenario(asking: Asking) -> None:
        ids = [f"s{number}" for number in range(3000)]
        told = await asking.ask(ids, [[1, 1]] * 3000, open=True)
        assert told.errors == {}
        assert told.positions == [2] * 3000

    ask_witness(scenario, encoding, Rig(max_requests=2048, num_slots=4096))


def test_a_lost_answer_of_the_store_is_said_of_each_row() -> None:
    """`advanced` is unknown, and the same request with positions is safe to send again."""
    store = FaultyStore()

    async def scenario(asking: Asking) -> None:
        await _open(asking.service, *IDS)
        store.lose = "after"
        told = await asking.ask(IDS, [1, 1, 1], positions=[0, 0, 0])
        assert set(told.codes.values()) == {"store_unavailable"}
        assert all(each["advanced"] == "unknown" for each in told.errors.values())
        again = await asking.ask(IDS, [1, 1, 1], positions=[0, 0, 0])
        assert (sums(again), again.positions) == ([1, 1, 1], [1, 1, 1])

    ask_witness(scenario, JSON, Rig(store=store))


def test_a_row_that_the_program_fails_on_costs_its_neighbours_nothing() -> None:
    """500 for it alone."""

    async def scenario(asking: Asking) -> None:
        await _open(asking.service, *IDS)
        told = await asking.ask(IDS, [1, asking.rig.backend.poison, 1])
        assert (told.codes, sums(told)) == ({1: "backend_failed"}, [1, None, 1])

    ask_witness(scenario, JSON)


@each_encoding
def test_a_client_that_leaves_takes_its_rows_along(encoding: str) -> None:
    """What waits is not run, what runs is committed, and nothing is held."""

    async def scenario(asking: Asking) -> None:
        rig = asking.rig
        ids = [f"s{number}" for number in range(40)]
        await _open(asking.service, *ids)
        rig.backend.hold()
        asked = asyncio.ensure_future(asking.ask(ids, [1] * 40))
        await rig.backend.entered()
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
        rig.backend.go()
        # The session of each row that did run stands behind it: a second step says so.
        told = await asking.ask(ids, [1] * 40)
        assert told.errors == {}
        assert sums(told) == told.positions
        assert 1 in told.positions
        assert asking.service.app.budget.held_bytes == 0

    # Four rows a run: most of them wait.
    ask_witness(scenario, encoding, Rig(num_slots=64, max_rows=4))


def test_encodings_both_ways() -> None:
    """`Accept` chooses the answer's; raw bytes are no encoding of columns, nor of steps."""

    async def scenario(service: Service) -> None:
        await _open(service, *IDS)
        tensors = body_of(TENSORS, IDS, {"x": ONES}, model="witness")
        found = await _post(service, _plain(), accept=TENSORS)
        assert load(found.content)["output"].tolist() == ONES.tolist()
        assert found.headers["content-type"] == TENSORS
        found = await _post(service, tensors, TENSORS, accept=JSON)
        assert found.json()["outputs"] == (2 * ONES).tolist()
        raw = "application/octet-stream"
        refused(await _post(service, _plain(), accept=raw), 406, "not_acceptable")
        refused(await _post(service, _plain(), raw), 415, "unsupported_media_type")
        assert (await service.rig.sessions.info("default", "a")).position == 2

    serve(scenario)


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"session_ids": '["a","b"'}, 422, "invalid_request"),
        ({"session_ids": "7"}, 422, "invalid_request"),
        ({"open": "yes"}, 422, "invalid_request"),
        ({"model": "nobody"}, 404, "model_not_found"),
        ({"colour": "red"}, 422, "invalid_request"),
    ],
)
def test_metadata_at_fault(more: dict[str, str], status: int, code: str) -> None:
    """The request's fault, in words; what other programs write there is passed over."""

    async def scenario(service: Service) -> None:
        await _open(service, *IDS)
        known = {"model": "witness", "session_ids": orjson.dumps(IDS).decode(), "format": "pt"}
        refused(await _post(service, save({"x": ONES}, known | more), TENSORS), status, code)
        for name in ("model", "session_ids"):
            left = {key: each for key, each in known.items() if key != name}
            problem = refused(
                await _post(service, save({"x": ONES}, left), TENSORS), 422, "invalid_request"
            )
            assert problem["detail"].startswith(f"{name}: ")
        assert (await _post(service, save({"x": ONES}, known), TENSORS)).status_code == 200

    serve(scenario)


@pytest.mark.parametrize(
    "tensors",
    [
        {"x": np.ones((3, 2), np.float64)},
        {"x": np.ones((3, 3), np.float32)},
        {"x": np.ones((2, 2), np.float32)},
        {"x": np.ones((3, 0, 2), np.float32)},
        {"x": np.ones((6,), np.float32)},
        {"x": np.ones((3, 1, 1, 2), np.float32)},
        {"x": ONES, "y": ONES},
        {"y": ONES},
        {"x": ONES, "position": np.zeros(3, np.int32)},
        {"x": ONES, "position": np.zeros(2, np.int64)},
        {"x": ONES, "lengths": np.zeros((3, 1), np.int64)},
        {"x": ONES, "lengths": np.full(3, 1 << 62)},
        {"x": ONES, "lengths": np.array([5, -1, -1])},
    ],
)
def test_tensors_at_fault(tensors: dict[str, Any]) -> None:
    """Dtypes, shapes, names: 422, and nothing moves."""

    async def scenario(service: Service) -> None:
        await _open(service, *IDS)
        metadata = {"model": "witness", "session_ids": orjson.dumps(IDS).decode()}
        answer = await _post(service, save(tensors, metadata), TENSORS)
        assert answer.status_code == 422, answer.text
        assert (await service.rig.sessions.info("default", "a")).position == 0

    serve(scenario)
