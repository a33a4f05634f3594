"""Requests that are none of the Open Inference Protocol's: refused with the place, in its form."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from carousel.models.row import Array
from tests.harness.client import numbers
from tests.harness.live import Live
from tests.service.api.v2.oip import LENGTH, binary_tensor, failed, frame, infer_path, tensor

X = numbers(1, 2, 10)  # (B, T, F)


ENTRY = tensor("input", X)


NAN = float("nan")


def post(live: Live, document: Any, **more: Any) -> httpx.Response:
    """A request in JSON."""
    return live.client.post(infer_path(), json=document, **more)


def _with(**more: Any) -> dict[str, Any]:
    return {"inputs": [ENTRY | more]}


def _without(name: str) -> dict[str, Any]:
    return {"inputs": [{key: value for key, value in ENTRY.items() if key != name}]}


def _sequence(**parameters: Any) -> dict[str, Any]:
    return {"inputs": [ENTRY], "parameters": parameters}


H = tensor("h", np.zeros((2, 1, 20), np.float32))


C = tensor("c", np.zeros((2, 1, 20), np.float32))


HH = tensor("h", np.zeros((2, 2, 20), np.float32))


CC = tensor("c", np.zeros((2, 2, 20), np.float32))


def _nested(depth: int) -> list[Any]:
    return [_nested(depth - 1)] if depth else []


BAD = [
    ("not an object", [1], "invalid_request", "a list of 1 given"),
    ("no inputs", {}, "invalid_request", "inputs: nothing given"),
    ("inputs empty", {"inputs": []}, "invalid_request", "inputs: a list of 0"),
    ("an input is no object", {"inputs": [3]}, "invalid_request", r"inputs[0]: a number"),
    ("two, one no object", {"inputs": [ENTRY, 3]}, "invalid_request", r"inputs[1]: a number"),
    ("no name", _without("name"), "invalid_request", "inputs[0].name: nothing given"),
    ("a name that is none", _with(name=3), "invalid_request", "inputs[0].name: a number"),
    ("unknown input", _with(name="x"), "invalid_request", "'x' given; expected inputs: input;"),
    ("twice", {"inputs": [ENTRY, ENTRY]}, "invalid_request", "'input' given twice"),
    ("no datatype", _without("datatype"), "shape_mismatch", "datatype: nothing given; expected FP"),
    ("datatype 5", _with(datatype=5), "shape_mismatch", "datatype: 5 given"),
    ("lower case", _with(datatype="fp32"), "shape_mismatch", "datatype: fp32 given"),
    ("BF16", _with(datatype="BF16"), "shape_mismatch", "datatype: BF16 given"),
    ("no shape", _without("shape"), "shape_mismatch", "shape: null given"),
    ("shape of words", _with(shape=["1", 2, 10]), "shape_mismatch", "shape: ['1', 2, 10] given"),
    ("shape 1.0", _with(shape=[1.0, 2, 10]), "shape_mismatch", "shape: [1.0, 2, 10]"),
    ("shape true", _with(shape=[True, 2, 10]), "shape_mismatch", "shape: [True, 2, 10]"),
    ("shape -1", _with(shape=[-1, 2, 10]), "shape_mismatch", "shape: [-1, 2, 10]"),
    ("shape 2**70", _with(shape=[1, 2**70, 10]), "shape_mismatch", "shape: "),
    ("shape 2**40", _with(shape=[1, 2**40, 10]), "sequence_too_long", "1099511627776 time steps"),
    ("a deep shape", _with(shape=_nested(900)), "shape_mismatch", "shape: a list of 1 given"),
    ("deep sizes", _with(shape=[1, _nested(900), 10]), "shape_mismatch", "a list of 3 given"),
    ("an object of sizes", _with(shape={"a": 1}), "shape_mismatch", "shape: an object given"),
    ("a long shape", _with(shape=[1] * 1000), "shape_mismatch", "shape: a list of 1000 given"),
    ("no data", _without("data"), "invalid_request", "inputs.input.data: nothing given"),
    ("data null", _with(data=None), "invalid_request", "data: nothing given"),
    ("data a number", _with(data=1.0), "invalid_request", "data: a number given"),
    ("data too short", _with(data=[1.0] * 19), "shape_mismatch", "list of 19 given; expected 20"),
    ("data empty", _with(data=[]), "shape_mismatch", "a list of 0 given; expected 20 values"),
    ("data ragged", _with(data=[[[1.0] * 10, [1.0] * 9]]), "shape_mismatch", "data[0][1]: a list"),
    ("data flat by half", _with(data=[[1.0] * 10] * 2), "shape_mismatch", "data: a list of 2"),
    ("a string", _with(data=["1"] * 20), "invalid_request", "data[0]: a string given"),
    ("a boolean", _with(data=[1.0] * 19 + [True]), "invalid_request", "data[19]: a boolean given"),
    ("a null", _with(data=[1.0, None] * 10), "invalid_request", "data[1]: null given"),
    ("1e39", _with(data=[1e39] * 20), "non_finite_input", "1e+39 is beyond float32"),
    ("parameters 3", {"inputs": [ENTRY], "parameters": 3}, "invalid_request", "a number given"),
    ("tensor parameters 3", _with(parameters=3), "invalid_request", "inputs.input.parameters: a"),
    ("shared memory", _with(parameters={"shared_memory_region": "r"}), "invalid_request",
     "shared_memory_region: not supported"),
    ("id 42", {"inputs": [ENTRY], "id": 42}, "invalid_request", "id: a number given"),
    ("outputs 3", {"inputs": [ENTRY], "outputs": 3}, "invalid_request", "outputs: a number"),
    ("unknown output", {"inputs": [ENTRY], "outputs": [{"name": "y"}]}, "invalid_request",
     "'y' given; expected some of h, h_out, c, c_out, output"),
    ("an output twice", {"inputs": [ENTRY], "outputs": [{"name": "h"}] * 2}, "invalid_request",
     "'h' given twice"),
    ("classification", {"inputs": [ENTRY], "outputs": [{"name": "output", "parameters":
     {"classification": 3}}]}, "invalid_request", "classification: not supported"),
    ("binary_data 1", {"inputs": [ENTRY], "outputs": [{"name": "output", "parameters":
     {"binary_data": 1}}]}, "invalid_request", "outputs.output.parameters.binary_data: a number"),
    ("binary_data_output 1", _sequence(binary_data_output=1), "invalid_request", "a number given"),
    ("one state of two", {"inputs": [ENTRY, H]}, "invalid_request", "nothing given for c"),
    ("states alone", {"inputs": [H, C]}, "invalid_request", "nothing given for input"),
    ("states of more rows", {"inputs": [ENTRY, HH, CC]}, "shape_mismatch", "rows {'input': 1, 'h'"),
    ("a state's shape", {"inputs": [ENTRY, H | {"shape": [1, 2, 20]}, C]}, "shape_mismatch",
     "inputs.h.shape: [1, 2, 20] given; expected [2, batch, 20]"),
    ("a state is a word", {"inputs": [ENTRY, H | {"data": ["NaN"] * 40}, C]}, "non_finite_state",
     "inputs.h.data[0]: NaN given; this state must be finite"),
    ("sequence_id true", _sequence(sequence_id=True), "invalid_request", "a boolean given"),
    ("sequence_id 7.0", _sequence(sequence_id=7.0), "invalid_request", "a number given; expected"),
    ("sequence_id -1", _sequence(sequence_id=-1), "invalid_request", "-1 given; expected an"),
    ("sequence_id 2**64", _sequence(sequence_id=2**64), "invalid_request", "sequence_id: a number"),
    ("sequence_id null", _sequence(sequence_id=None), "invalid_request", "null given"),
    ("sequence_id long", _sequence(sequence_id="x" * 129), "invalid_request", "129 characters"),
    ("start 1", _sequence(sequence_id=5, sequence_start=1), "invalid_request", "sequence_start: a"),
    ("end null", _sequence(sequence_id=5, sequence_end=None), "invalid_request", "sequence_end: n"),
    ("position -1", _sequence(sequence_id=5, position=-1), "invalid_request", "position: -1"),
    ("position 1.0", _sequence(sequence_id=5, position=1.0), "invalid_request", "position: 1.0"),
    ("start elsewhere", _sequence(sequence_id=5, sequence_start=True, position=4),
     "invalid_request", "position: 4 given with sequence_start"),
    ("start of none", _sequence(sequence_start=True), "invalid_request", "sequence_id: nothing"),
    ("end of 0", _sequence(sequence_id=0, sequence_end=True), "invalid_request", "or 0; expected"),
    ("position of none", _sequence(sequence_id="", position=0), "invalid_request", "sequence_id"),
]  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=[each[0] for each in BAD])
def test_bad_requests(live: Live, case: Any) -> None:
    """Refused with the place and what was expected, in the protocol's form."""
    _, document, code, text = case
    told = failed(post(live, document), 422, code)
    assert text in told
    assert "/work" not in told
    assert "Traceback" not in told


BAD_FRAMES = [
    ("beyond the body", b"{}", "3", 400, "malformed", "'3' given, with a body of 2 bytes"),
    ("negative", b"{}", "-1", 400, "malformed", "'-1' given"),
    ("no number", b"{}", "two", 400, "malformed", "'two' given"),
    ("endless", b"{}", "9" * 400, 400, "malformed", "given, with a body"),
    (
        "inside the JSON",
        json.dumps({"inputs": [ENTRY]}).encode(),
        "9",
        400,
        "malformed",
        "not JSON",
    ),
    ("not JSON", b"inputs", "6", 400, "malformed", "not JSON at line 1"),
    ("not UTF-8", b'{"id": "\xff"}', "11", 400, "malformed", "not UTF-8"),
    ("nothing", b"", "0", 422, "shape_mismatch", "0 bytes given"),
    ("a raw NaN", np.full(10, NAN, "<f4").tobytes(), "0", 422, "non_finite_input", "the body"),
]


@pytest.mark.parametrize("case", BAD_FRAMES, ids=[each[0] for each in BAD_FRAMES])
def test_bad_frames(live: Live, case: Any) -> None:
    """A header that does not fit the body."""
    _, body, length, status, code, text = case
    answer = live.client.post(infer_path(), content=body, headers={LENGTH: length})
    assert text in failed(answer, status, code)


def test_binary_sizes_must_fit_shape_and_body(live: Live) -> None:
    """Each tensor's own, and all of them together."""
    entry = binary_tensor("input", X)

    def refused(tensors: list[Any], *arrays: Array, code: str = "shape_mismatch") -> str:
        body, headers = frame({"inputs": tensors}, *arrays)
        return failed(live.client.post(infer_path(), content=body, headers=headers), 422, code)

    assert "binary_data_size 79 given; expected 80" in refused(
        [entry | {"parameters": {"binary_data_size": 79}}], X
    )
    assert "binary_data_size a string given" in refused(
        [entry | {"parameters": {"binary_data_size": "80"}}], X
    )
    assert "expected 80" in refused([entry | {"parameters": {"binary_data_size": 80.0}}], X)
    assert "80 given; 40 bytes are left" in refused([entry], X[:, :1])
    assert "40 bytes more than" in refused([entry], X, X[:, :1])
    assert "80 bytes more than" in refused([ENTRY], X)
    both = refused([entry | {"data": ENTRY["data"]}], X, code="invalid_request")
    assert "data given, and binary_data_size" in both
    assert "non_finite_input" in refused(
        [entry], np.full(X.shape, NAN, "<f4"), code="non_finite_input"
    )
    bare = post(live, {"inputs": [entry]})
    assert "without the header Inference-Header" in failed(bare, 422, "invalid_request")


def test_literal_nan_is_no_json(live: Live) -> None:
    """NaN in a body is malformed, as everywhere."""
    body = json.dumps({"inputs": [ENTRY | {"data": [NAN] * 20}]})
    answer = live.client.post(infer_path(), content=body)
    failed(answer, 400, "malformed")
