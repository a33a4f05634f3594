"""Columns at fault as a whole: refused with the place named, in both encodings."""

from typing import Any

import numpy as np
import orjson
import pytest
from safetensors.numpy import load, save

from tests.harness.client import refused
from tests.harness.inside import Service, serve
from tests.service.api.v1.columnar.asking import (
    ENCODINGS,
    JSON,
    TENSORS,
    Asking,
    ask_witness,
    body_of,
    open_all,
    plain_body,
    post_body,
)

IDS = ["a", "b", "c"]
ONES = np.ones((3, 2), np.float32)

each_encoding = pytest.mark.parametrize("encoding", ENCODINGS, ids=["json", "tensors"])


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
        await open_all(service, *IDS)
        problem = refused(await post_body(service, plain_body(**more)), 422, code)
        assert problem["detail"].startswith(place), problem["detail"]
        assert (await service.rig.sessions.info("default", "a")).position == 0

    serve(scenario)


def test_ids_twice_name_their_rows() -> None:
    """All rows of one such id, for programs too."""

    async def scenario(service: Service) -> None:
        ids = ["a", "b", "c", "b", "b"]
        body = plain_body(session_ids=ids, inputs=[[1, 1]] * 5)
        problem = refused(await post_body(service, body), 422, "invalid_request")
        assert problem["rows"] == [1, 3, 4]

    serve(scenario)


@each_encoding
def test_models_that_are_not_there(encoding: str) -> None:
    """An unknown model or version: 404 for the request."""

    async def scenario(asking: Asking) -> None:
        for more in ({"model": "nobody"}, {"version": 9}):
            refused(await asking.post(IDS, [1, 1, 1], **more), 404, "model_not_found")

    ask_witness(scenario, encoding)


def test_encodings_both_ways() -> None:
    """`Accept` chooses the answer's; raw bytes are no encoding of columns, nor of steps."""

    async def scenario(service: Service) -> None:
        await open_all(service, *IDS)
        tensors = body_of(TENSORS, IDS, {"x": ONES}, model="witness")
        found = await post_body(service, plain_body(), accept=TENSORS)
        assert load(found.content)["output"].tolist() == ONES.tolist()
        assert found.headers["content-type"] == TENSORS
        found = await post_body(service, tensors, TENSORS, accept=JSON)
        assert found.json()["outputs"] == (2 * ONES).tolist()
        raw = "application/octet-stream"
        refused(await post_body(service, plain_body(), accept=raw), 406, "not_acceptable")
        refused(await post_body(service, plain_body(), raw), 415, "unsupported_media_type")
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
        await open_all(service, *IDS)
        known = {"model": "witness", "session_ids": orjson.dumps(IDS).decode(), "format": "pt"}
        refused(await post_body(service, save({"x": ONES}, known | more), TENSORS), status, code)
        for name in ("model", "session_ids"):
            left = {key: each for key, each in known.items() if key != name}
            problem = refused(
                await post_body(service, save({"x": ONES}, left), TENSORS), 422, "invalid_request"
            )
            assert problem["detail"].startswith(f"{name}: ")
        assert (await post_body(service, save({"x": ONES}, known), TENSORS)).status_code == 200

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
        await open_all(service, *IDS)
        metadata = {"model": "witness", "session_ids": orjson.dumps(IDS).decode()}
        answer = await post_body(service, save(tensors, metadata), TENSORS)
        assert answer.status_code == 422, answer.text
        assert (await service.rig.sessions.info("default", "a")).position == 0

    serve(scenario)
