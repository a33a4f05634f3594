"""Whole sequences over a socket, equal to eager PyTorch, in each encoding."""

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from tests.harness.client import RAW, TENSORS, TOLERANCE, numbers
from tests.harness.live import Live
from tests.harness.served import Served, run_lstm

LSTM = "/v1/models/lstm-10-20-2/infer"

Models = dict[str, Served]


def infer(live: Live, model: str, **body: Any) -> Any:
    """The JSON answer to a JSON request that must succeed."""
    answer = live.client.post(f"/v1/models/{model}/infer", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_ragged_sequences_equal_eager(live: Live, served: Models) -> None:
    """Sequences of different lengths in one request each equal eager PyTorch, and come in order."""
    sequences = [numbers(steps, 10, seed=steps) for steps in (5, 1, 33, 2)]
    answer = infer(live, "lstm-10-20-2", sequences=[each.tolist() for each in sequences])
    assert (answer["model"], answer["version"]) == ("lstm-10-20-2", 1)
    for given, output in zip(sequences, answer["outputs"], strict=True):
        expected, _, _ = run_lstm(served["lstm-10-20-2"].module, given)
        np.testing.assert_allclose(output, expected, atol=TOLERANCE)


def test_states_go_in_and_out(live: Live, served: Models) -> None:
    """A sequence goes on from the state that it is given; null means the initial values."""
    x, h, c = numbers(4, 10), numbers(2, 20, seed=1), numbers(2, 20, seed=2)
    answer = infer(
        live,
        "lstm-10-20-2",
        sequences=[x.tolist()] * 2,
        states=[{"h": h.tolist(), "c": c.tolist()}, None],
        return_state=True,
    )
    for index, state in enumerate([(h, c), None]):
        output, hn, cn = run_lstm(served["lstm-10-20-2"].module, x, state)
        np.testing.assert_allclose(answer["outputs"][index], output, atol=TOLERANCE)
        np.testing.assert_allclose(answer["states"][index]["h"], hn, atol=TOLERANCE)
        np.testing.assert_allclose(answer["states"][index]["c"], cn, atol=TOLERANCE)


def test_encodings_agree(live: Live, served: Models) -> None:
    """The same sequence in JSON, raw and safetensors gives the same numbers, bit for bit."""
    x = numbers(7, 10)
    raw = live.client.post(LSTM, content=x.tobytes(), headers=RAW)
    assert raw.headers["content-type"] == "application/octet-stream"
    output = np.frombuffer(raw.content, "<f4").reshape(7, 20)
    tensors = live.client.post(
        LSTM, content=save({"input": x}), headers=TENSORS, params={"return_state": "true"}
    )
    found = load(tensors.content)
    assert set(found) == {"output", "state.h", "state.c"}
    json = infer(live, "lstm-10-20-2", sequences=[x.tolist()])["outputs"][0]
    assert found["output"].tobytes() == output.tobytes() == np.array(json, "<f4").tobytes()
    expected, h, c = run_lstm(served["lstm-10-20-2"].module, x)
    np.testing.assert_allclose(output, expected, atol=TOLERANCE)
    np.testing.assert_allclose(found["state.h"], h, atol=TOLERANCE)
    np.testing.assert_allclose(found["state.c"], c, atol=TOLERANCE)


def test_states_in_safetensors(live: Live, served: Models) -> None:
    """A start state travels in safetensors too."""
    x, h, c = numbers(3, 10), numbers(2, 20, seed=1), numbers(2, 20, seed=2)
    body = save({"input": x, "state.h": h, "state.c": c})
    answer = live.client.post(LSTM, content=body, headers=TENSORS)
    expected, _, _ = run_lstm(served["lstm-10-20-2"].module, x, (h, c))
    np.testing.assert_allclose(load(answer.content)["output"], expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json", "application/json"),
        ("application/x-safetensors", "application/x-safetensors"),
        ("*/*", "application/octet-stream"),
    ],
)
def test_client_chooses_answer(live: Live, accept: str, expected: str) -> None:
    """A raw request is answered in the encoding that Accept names."""
    headers = RAW | {"Accept": accept}
    answer = live.client.post(LSTM, content=numbers(2, 10).tobytes(), headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, expected)


def test_several_inputs_and_outputs(live: Live, served: Models) -> None:
    """A block of three inputs and two outputs takes and gives them by name, without T."""
    q, k, v = numbers(1, 1, 32), numbers(1, 1, 32, seed=1), numbers(1, 32, 64, seed=2)
    with torch.inference_mode():
        output, weights = served["attention"].module(*map(torch.from_numpy, (q, k, v)))
    item = {"Q": q.tolist(), "K": k.tolist(), "V": v.tolist()}
    answer = infer(live, "attention", sequences=[item, item])
    for each in answer["outputs"]:
        np.testing.assert_allclose(each["output"], output.numpy(), atol=TOLERANCE)
        np.testing.assert_allclose(each["weights"], weights.numpy(), atol=TOLERANCE)
    body = save({"Q": q, "K": k, "V": v})
    found = load(
        live.client.post("/v1/models/attention/infer", content=body, headers=TENSORS).content
    )
    np.testing.assert_allclose(found["weights"], weights.numpy(), atol=TOLERANCE)


def test_output_per_sequence(live: Live, served: Models) -> None:
    """A head on the last time step answers once a sequence, whatever the lengths beside it."""
    module = served["simple-lstm"].module
    sequences = [numbers(steps, 10, seed=steps) for steps in (15, 1, 40)]
    answer = infer(live, "simple-lstm", sequences=[each.tolist() for each in sequences])
    for given, output in zip(sequences, answer["outputs"], strict=True):
        with torch.inference_mode():
            expected = module(torch.from_numpy(given)[None])[0].numpy()
        np.testing.assert_allclose(output, expected, atol=TOLERANCE)


def test_tokens(live: Live, served: Models) -> None:
    """Token ids go in as integers, in JSON and raw."""
    ids = np.array([0, 10, 3, 3])
    with torch.inference_mode():
        expected = served["tokens"].module(torch.from_numpy(ids)[:, None])[:, 0].numpy()
    answer = infer(live, "tokens", sequences=[ids.tolist()])
    np.testing.assert_allclose(answer["outputs"][0], expected, atol=TOLERANCE)
    raw = live.client.post("/v1/models/tokens/infer", content=ids.tobytes(), headers=RAW)
    found = np.frombuffer(raw.content, "<f4").reshape(4, 5)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_whole_sequence_model(live: Live, served: Models) -> None:
    """A bidirectional model runs whole sequences, states included."""
    x, h, c = numbers(6, 10), numbers(4, 20, seed=1), numbers(4, 20, seed=2)
    state = {"h": h.tolist(), "c": c.tolist()}
    answer = infer(live, "bilstm-10-20-2", sequences=[x.tolist()], states=[state])
    expected, _, _ = run_lstm(served["bilstm-10-20-2"].module, x, (h, c))
    np.testing.assert_allclose(answer["outputs"][0], expected, atol=TOLERANCE)


def test_version_by_path(live: Live) -> None:
    """A version may be named in the path; one that is not there is not found."""
    body = {"sequences": [numbers(1, 10).tolist()]}
    path = "/v1/models/lstm-10-20-2/versions/{}/infer"
    assert live.client.post(path.format(1), json=body).json()["version"] == 1
    for version, code in ((2, "model_not_found"), ("one", "not_found")):
        answer = live.client.post(path.format(version), json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, code)


def test_models_are_described(live: Live) -> None:
    """ModelInfo says what to send, what comes back, and how the model may be streamed."""
    listed = {each["name"]: each for each in live.client.get("/v1/models").json()["models"]}
    lstm = live.client.get("/v1/models/lstm-10-20-2").json()
    assert lstm == listed["lstm-10-20-2"]
    assert lstm == live.client.get("/v1/models/lstm-10-20-2/versions/1").json()
    assert lstm["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["time", "batch", 10]}]
    assert lstm["states"][0] == {"name": "h", "dtype": "float32", "shape": [2, "batch", 20]}
    assert lstm["outputs"][0]["per"] == "step"
    assert (lstm["program"], lstm["device"], lstm["streaming"]) == ("onnx", "cpu", "step")
    assert lstm["parity"]["max_error"] <= lstm["parity"]["tolerance"] == pytest.approx(1e-5)
    assert (lstm["versions"], lstm["max_steps"]) == ([1], 10_000)
    assert "streaming_reason" not in lstm
    assert listed["bilstm-10-20-2"]["streaming"] == "none"
    assert listed["bilstm-10-20-2"]["streaming_reason"]
    assert (listed["tokens"]["inputs"][0]["low"], listed["tokens"]["inputs"][0]["high"]) == (0, 10)
    assert listed["simple-lstm"]["outputs"][0]["per"] == "sequence"
    assert listed["attention"]["inputs"][0]["shape"] == [1, 1, 32]
