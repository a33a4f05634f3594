"""The Open Inference Protocol over a bare socket: requests as its documents show them."""

import json
from typing import Any

import httpx
import numpy as np

from carousel.models.row import Array
from tests.harness.client import MODEL, TOLERANCE, numbers
from tests.harness.live import Live
from tests.harness.served import Served, run_lstm
from tests.service.api.v2.oip import LENGTH, binary_tensor, failed, frame, infer_path, read, tensor

X = numbers(1, 2, 10)  # (B, T, F)


ENTRY = tensor("input", X)


def post(live: Live, document: Any, **more: Any) -> httpx.Response:
    """A request in JSON."""
    return live.client.post(infer_path(), json=document, **more)


def _expect(served: dict[str, Served], found: Array, x: Array = X) -> None:
    for row, output in zip(x, found, strict=True):
        expected, _, _ = run_lstm(served[MODEL].module, row)
        np.testing.assert_allclose(output, expected, rtol=0, atol=TOLERANCE)


def test_a_request_as_kserve_documents_it(live: Live, served: dict[str, Served]) -> None:
    """An id, inputs with flat data, an output by name; the answer has the documented members."""
    body = {"id": "42", "inputs": [ENTRY], "outputs": [{"name": "output"}]}
    headers = {"Content-Type": "application/json"}
    answer = live.client.post(infer_path(), content=json.dumps(body, indent=2), headers=headers)
    document, arrays = read(answer)
    _expect(served, arrays["output"])
    (output,) = document.pop("outputs")
    assert document == {"model_name": MODEL, "model_version": "1", "id": "42"}
    assert (output["name"], output["datatype"], output["shape"]) == ("output", "FP32", [1, 2, 20])
    assert len(output["data"]) == 40


def test_data_may_be_nested_as_the_shape_is(live: Live, served: dict[str, Served]) -> None:
    """Flat and nested lists are the same numbers; so are integers."""
    x = np.random.default_rng(3).integers(-9, 9, (2, 3, 10)).astype(np.float32)
    nested = tensor("input", x) | {"data": x.tolist()}
    whole = tensor("input", x) | {"data": [int(each) for each in x.ravel()]}
    for entry in (tensor("input", x), nested, whole):
        _, arrays = read(post(live, {"inputs": [entry]}))
        _expect(served, arrays["output"], x)


def test_what_clients_add_of_their_own_is_passed_over(live: Live) -> None:
    """Members and parameters that are not known; an empty list of outputs asks for all."""
    entry = ENTRY | {"parameters": {"content_type": "np"}}
    document = {
        "model_name": MODEL,
        "inputs": [entry],
        "outputs": [],
        "parameters": {"content_type": "np", "headers": {}, "priority": 3, "timeout": 9},
    }
    assert list(read(post(live, document))[1]) == ["output"]


def test_token_ids_are_checked_against_their_bounds(live: Live) -> None:
    """INT64 in JSON and in binary; one beyond the vocabulary is refused."""
    path = infer_path("tokens")
    for ids, status in (([[3, 0, 10]], 200), ([[3, 0, 11]], 422), ([[-1, 0, 1]], 422)):
        x = np.array(ids, np.int64)
        body, headers = frame({"inputs": [binary_tensor("ids", x)]}, x)
        answers = [
            live.client.post(path, json={"inputs": [tensor("ids", x)]}),
            live.client.post(path, content=body, headers=headers),
        ]
        for answer in answers:
            if status == 200:
                assert read(answer)[1]["output"].shape == (1, 3, 5)
            else:
                assert "expected an integer from 0 to 10" in failed(answer, 422, "out_of_range")


def test_each_tensor_may_come_and_go_its_own_way(live: Live) -> None:
    """Binary and JSON inputs in one request; outputs in binary by default, one of them not."""
    q, k, v = numbers(1, 1, 32), numbers(1, 1, 32, seed=4), numbers(1, 32, 64, seed=5)
    document = {
        "inputs": [binary_tensor("V", v), tensor("K", k), binary_tensor("Q", q)],
        "outputs": [{"name": "weights", "parameters": {"binary_data": False}}, {"name": "output"}],
        "parameters": {"binary_data_output": True},
    }
    body, headers = frame(document, v, q)
    answer = live.client.post(infer_path("attention"), content=body, headers=headers)
    shown, arrays = read(answer)
    assert ["data" in each for each in shown["outputs"]] == [True, False]
    plain = [tensor(name, each) for name, each in (("Q", q), ("K", k), ("V", v))]
    _, expected = read(live.client.post(infer_path("attention"), json={"inputs": plain}))
    for name, value in expected.items():
        np.testing.assert_allclose(
            np.asarray(arrays[name], "f4"), np.asarray(value, "f4"), rtol=0, atol=1e-7
        )


def test_a_body_without_json_is_the_one_input(live: Live, served: dict[str, Served]) -> None:
    """A header length of 0: raw bytes of one row; the answer is in binary."""
    answer = live.client.post(infer_path(), content=X.tobytes(), headers={LENGTH: "0"})
    document, arrays = read(answer)
    _expect(served, arrays["output"])
    assert "binary_data_size" in document["outputs"][0]["parameters"]
    path = infer_path("attention")
    refused = live.client.post(path, content=X.tobytes(), headers={LENGTH: "0"})
    assert "inputs: Q, K, V" in failed(refused, 422, "invalid_request")
    short = live.client.post(infer_path(), content=bytes(41), headers={LENGTH: "0"})
    failed(short, 422, "shape_mismatch")


def test_versions_may_be_named(live: Live) -> None:
    """The one that runs; another is not found, and none that is no number."""
    for version, status in ((1, 200), (2, 404)):
        answer = live.client.post(infer_path(version=version), json={"inputs": [ENTRY]})
        assert answer.status_code == status
    path = f"/v2/models/{MODEL}/versions/x/infer"
    failed(live.client.post(path, json={"inputs": [ENTRY]}), 404, "not_found")
