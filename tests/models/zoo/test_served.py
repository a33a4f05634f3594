"""Every reference model over a real socket, in both programs, beside eager PyTorch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from carousel import export_model
from carousel.models.zoo.catalog import REFERENCES
from tests.harness.live import Live
from tests.models.zoo.zoo import built

NUM_STEPS = 9
FEATURES = {
    "lstm-10-20-2": 10,
    "bilstm-10-20-2": 10,
    "rnn-1027-256": 1027,
    "rnn-5-6-2": 5,
    "lstm-5-6-2": 5,
    "gru-10-20-2": 10,
    "lstm-proj": 10,
    "simple-lstm": 10,
    "hello-rnncell": 4,
    "hello-rnn": 4,
}
# These are decoded together, in test_attention.py.
PAIR = {"reverse-encoder", "reverse-decoder"}
STREAMED = [name for name in FEATURES if name != "bilstm-10-20-2"]
# Said once a process, by eager torch.
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def modules() -> dict[str, nn.Module]:
    """The untouched modules, by name."""
    return {name: built(name) for name in REFERENCES if name not in PAIR}


@pytest.fixture(scope="module")
def zoo(modules: dict[str, nn.Module], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of all of them."""
    folder = tmp_path_factory.mktemp("zoo")
    for name, module in modules.items():
        each = REFERENCES[name]
        export_model(
            module,
            each.example(),
            name=name,
            repository=folder,
            axes=each.axes,
            output_names=each.output_names,
            quiet=True,
        )
    return folder


@pytest.fixture(scope="module", params=["onnx", "torchscript"])
def service(zoo: Path, request: pytest.FixtureRequest) -> Iterator[Live]:
    """A service of all of them that runs one kind of program."""
    with Live(zoo, "--program", request.param) as live:
        yield live


def eager(module: nn.Module, x: Floats, name: str) -> Floats:
    """What the module itself makes of one sequence (T, F): (T, O), or the one output at its end."""
    batch_first = name == "simple-lstm"
    given = torch.from_numpy(x).unsqueeze(0 if batch_first else 1)
    with torch.inference_mode():
        answer = module(given)
    output = answer[0] if isinstance(answer, tuple) else answer
    result: Floats = output.squeeze(0 if batch_first else 1).numpy()
    return result


def sequence(name: str) -> Floats:
    """One sequence (T, F) of standard normal numbers."""
    rng = np.random.default_rng(len(name))
    return rng.standard_normal((NUM_STEPS, FEATURES[name])).astype(np.float32)


def check(found: Any, expected: Floats) -> None:
    """Equal within the exporter's bound; NaN is not."""
    bound = 1e-5 * max(1.0, float(np.abs(expected).max()))
    assert np.abs(np.asarray(found) - expected).max() <= bound


def test_the_list_is_the_zoo() -> None:
    """No reference model is left out here."""
    assert {*FEATURES, "attention", *PAIR} == set(REFERENCES)


@pytest.mark.parametrize("name", FEATURES)
def test_whole_sequences_equal_eager(
    service: Live, modules: dict[str, nn.Module], name: str
) -> None:
    """Two sequences of different lengths in one request."""
    x = sequence(name)
    body = {"sequences": [x.tolist(), x[:4].tolist()]}
    answer = service.client.post(f"/v1/models/{name}/infer", json=body).json()
    for found, part in zip(answer["outputs"], (x, x[:4]), strict=True):
        check(found, eager(modules[name], part, name))


@pytest.mark.parametrize("cuts", [[4, 5], [8, 1], [1] * NUM_STEPS], ids=str)
@pytest.mark.parametrize("name", STREAMED)
def test_pieces_equal_eager(
    service: Live, modules: dict[str, nn.Module], name: str, cuts: list[int]
) -> None:
    """A session fed in pieces answers what the module answers to all of it so far."""
    x = sequence(name)
    opened = service.client.post("/v1/sessions", json={"model": name}).json()
    path = f"/v1/sessions/{opened['session_id']}/steps"
    position = 0
    for cut in cuts:
        piece = x[position : position + cut].tolist()
        answer = service.client.post(path, json={"inputs": piece, "position": position}).json()
        expected = eager(modules[name], x[: position + cut], name)
        check(answer["outputs"], expected if name == "simple-lstm" else expected[position:])
        position += cut
        assert answer["position"] == position


@pytest.mark.parametrize("name", ["hello-rnncell", "hello-rnn"])
def test_hello_is_answered_ohlol(service: Live, name: str) -> None:
    """One character a request spells it, and so does the whole word in one."""
    letters = "ehlo"
    heard = np.eye(4)[[letters.index(each) for each in "hello"]].tolist()
    opened = service.client.post("/v1/sessions", json={"model": name}).json()
    path = f"/v1/sessions/{opened['session_id']}/steps"
    said = [service.client.post(path, json={"inputs": [each]}).json()["outputs"] for each in heard]
    whole = service.client.post(f"/v1/models/{name}/infer", json={"sequences": [heard]}).json()
    for scores in (np.concatenate(said), np.asarray(whole["outputs"][0])):
        assert "".join(letters[index] for index in scores.argmax(axis=1)) == "ohlol"


def test_attention_is_plain_inference(service: Live, modules: dict[str, nn.Module]) -> None:
    """Three named inputs, two outputs, no session."""
    values = REFERENCES["attention"].example()
    item = dict(zip("QKV", (each.tolist() for each in values), strict=True))
    answer = service.client.post("/v1/models/attention/infer", json={"sequences": [item]}).json()
    with torch.inference_mode():
        output, weights = modules["attention"](*values)
    check(answer["outputs"][0]["output"], output.numpy())
    check(answer["outputs"][0]["weights"], weights.numpy())
    refused = service.client.post("/v1/sessions", json={"model": "attention"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_streamable")


def test_a_bidirectional_model_says_why_it_cannot_stream(service: Live) -> None:
    """Opening a session on it is refused with the reason."""
    refused = service.client.post("/v1/sessions", json={"model": "bilstm-10-20-2"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_streamable")
    assert "bidirectional" in refused.json()["reason"]
