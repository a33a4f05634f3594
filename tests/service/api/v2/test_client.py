"""The official client of the Open Inference Protocol without sequences, against eager PyTorch."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from tritonclient.http import InferenceServerClient as Client
from tritonclient.http import InferenceServerException as Failed
from tritonclient.http import InferInput, InferRequestedOutput

from tests.harness.client import MODEL, TOLERANCE, numbers
from tests.harness.live import Live
from tests.harness.served import Served, run_lstm
from tests.service.api.v2.oip import infer_path
from tests.service.api.v2.oip_client import given


@pytest.fixture
def client(live: Live) -> Iterator[Client]:
    """The client."""
    client = Client(live.url.removeprefix("http://"))
    yield client
    client.close()


def test_server_and_models_say_what_they_are(client: Client) -> None:
    """Live, ready, and with the extensions that the client asks about; a model by its versions."""
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "carousel"
    assert isinstance(metadata["version"], str)
    assert {"binary_tensor_data", "sequence", "sequence(string_id)"} <= set(metadata["extensions"])
    for version in ("", "1"):
        assert client.is_model_ready(MODEL, version)
        shown = client.get_model_metadata(MODEL, version)
        assert (shown["name"], shown["versions"]) == (MODEL, ["1"])
        assert shown["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, -1, 10]}]
    for name, version in (("none", ""), (MODEL, "2"), (MODEL, "one")):
        assert not client.is_model_ready(name, version)
        with pytest.raises(Failed, match=r"(model_)?not_found: ") as caught:
            client.get_model_metadata(name, version)
        assert caught.value.status() == "404"


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_rows_of_one_request_are_sequences_of_their_own(
    client: Client, served: dict[str, Served], binary: bool
) -> None:
    """Each row gives what the eager module gives for it alone; the id comes again."""
    x = numbers(5, 7, 10)  # (B, T, F)
    asked = [InferRequestedOutput("output", binary_data=binary)]
    result = client.infer(MODEL, [given(x, binary=binary)], outputs=asked, request_id="r-1")
    answer = result.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("r-1", MODEL, "1")
    assert "parameters" not in answer
    assert ("data" in answer["outputs"][0]) is not binary
    for row, found in zip(x, result.as_numpy("output"), strict=True):
        expected, _, _ = run_lstm(served[MODEL].module, row)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_outputs_are_those_that_were_asked_for(client: Client, served: dict[str, Served]) -> None:
    """Of a model with two outputs one, both in another order, or both as they are."""
    module = served["attention"].module
    q, k, v = numbers(1, 1, 32), numbers(1, 1, 32, seed=4), numbers(1, 32, 64, seed=5)
    sent = [given(each, name=name) for name, each in (("Q", q), ("K", k), ("V", v))]
    with torch.inference_mode():
        expected = [each.numpy() for each in module(*map(torch.from_numpy, (q, k, v)))]
    for names in (["weights"], ["weights", "output"], []):
        asked = [InferRequestedOutput(each) for each in names] or None
        result = client.infer("attention", sent, outputs=asked)
        found = [each["name"] for each in result.get_response()["outputs"]]
        assert found == (names or ["output", "weights"])
        for name, value in zip(("output", "weights"), expected, strict=True):
            if name in found:
                np.testing.assert_allclose(result.as_numpy(name), value, rtol=0, atol=TOLERANCE)


def test_a_sequence_may_be_cut_by_the_client_itself(
    client: Client, served: dict[str, Served]
) -> None:
    """The final states of one stateless request, sent with the next, go on where it stood."""
    x = numbers(2, 6, 10)  # (B, T, F)
    asked = [InferRequestedOutput(each) for each in ("output", "h", "c_out")]
    first = client.infer(MODEL, [given(x[:, :4])], outputs=asked)
    states = [given(first.as_numpy("h"), name="h"), given(first.as_numpy("c_out"), name="c")]
    assert first.as_numpy("h").shape == (2, 2, 20)
    second = client.infer(MODEL, [given(x[:, 4:]), *states])
    for row, found in zip(x, second.as_numpy("output"), strict=True):
        expected, _, _ = run_lstm(served[MODEL].module, row)
        np.testing.assert_allclose(found, expected[4:], rtol=0, atol=TOLERANCE)


WRONG = [
    ("a feature too few", [1, 2, 9], "FP32", "422", r"shape_mismatch: inputs.input.shape: \[1, 2,"),
    ("an axis too few", [2, 10], "FP32", "422", r"expected \[batch, time, 10\]"),
    ("no time steps", [1, 0, 10], "FP32", "422", "shape_mismatch"),
    ("another datatype", [1, 2, 10], "FP64", "422", "datatype: FP64 given; expected FP32"),
    ("integers", [1, 2, 10], "INT64", "422", "datatype: INT64 given; expected FP32"),
    ("too many time steps", [1, 10_001, 10], "FP32", "422", "sequence_too_long"),
    ("too many in all rows", [101, 100, 10], "FP32", "422", "sequence_too_long: .*10100"),
]


@pytest.mark.parametrize("case", WRONG, ids=[each[0] for each in WRONG])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_wrong_shapes_and_datatypes(client: Client, case: Any, binary: bool) -> None:
    """Refused with what was expected."""
    _, shape, datatype, status, text = case
    x = np.ones(shape, {"FP32": "f4", "FP64": "f8", "INT64": "i8"}[datatype])
    with pytest.raises(Failed, match=text) as caught:
        client.infer(MODEL, [given(x, binary=binary)])
    assert caught.value.status() == status


def test_strings_are_refused_where_the_model_has_none(client: Client) -> None:
    """BYTES, in JSON and in binary."""
    x = np.array([[["a"] * 10]], object)
    for binary in (True, False):
        entry = InferInput("input", [1, 1, 10], "BYTES").set_data_from_numpy(x, binary)
        with pytest.raises(
            Failed, match=r"BYTES given; expected FP32 .no model here takes strings"
        ):
            client.infer(MODEL, [entry])


def test_models_that_cannot_be_streamed_start_no_sequence(client: Client) -> None:
    """409 with the reason; stateless they answer."""
    with pytest.raises(Failed, match="not_streamable") as caught:
        client.infer(
            "bilstm-10-20-2", [given(numbers(1, 3, 10))], sequence_id=1, sequence_start=True
        )
    assert caught.value.status() == "409"
    client.infer("bilstm-10-20-2", [given(numbers(1, 3, 10))])


def test_bodies_that_the_client_makes_are_read(live: Live) -> None:
    """What it generates for others to send is read as its own requests are."""
    x = numbers(1, 2, 10)
    body, length = Client.generate_request_body([given(x)], request_id="made")
    headers = {"Inference-Header-Content-Length": str(length)}
    answer = live.client.post(infer_path(), content=body, headers=headers)
    head = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:head])["id"] == "made"
    result = Client.parse_response_body(answer.content, header_length=head)
    assert result.as_numpy("output").shape == (1, 2, 20)
