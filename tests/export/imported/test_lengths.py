"""Files that are told how long each row is: what to say is said at once, and a length that no row
has is the client's mistake.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from carousel import export_model
from carousel.export.__main__ import main
from tests.export.imported.advice import first_advice, follow
from tests.export.imported.foreign.files import farthest
from tests.export.imported.foreign.lengths import Layer
from tests.export.imported.outcome import Outcome, run_import
from tests.harness.live import Live

WITH_STATES: Mapping[str, Layer] = {
    "gru": Layer("GRU", states=True),
    "lstm": Layer("LSTM", states=True),
    "rnn": Layer("RNN", states=True),
    "lengths": Layer("GRU", states=True, lengths="lengths"),
    "wide": Layer("LSTM", states=True, dtype="int64"),
    "a length of its own": Layer("LSTM", states=True, time=5),
}
STATELESS: Mapping[str, Layer] = {
    "gru": Layer("GRU", states=False),
    "lstm": Layer("LSTM", states=False),
    "both-ways": Layer("GRU", states=False, directions=2),
    "wide": Layer("LSTM", states=False, dtype="int64"),
}
ROW = np.random.default_rng(7).standard_normal((5, 3)).astype(np.float32)


class Packs(nn.Module):
    """Packs by the lengths that it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x (B, T, 3), lengths (B,)."""
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        y, _ = self.gru(packed)
        return pad_packed_sequence(y, batch_first=True, total_length=x.size(1))[0]


def states(outcome: Outcome) -> set[str]:
    """The states of the artifact."""
    return {each.name for each in outcome.artifact.manifest.spec.states}


@pytest.mark.parametrize("name", WITH_STATES)
def test_one_message_names_every_flag_that_is_needed(tmp_path: Path, name: str) -> None:
    """Imported at once, or after the flags of one refusal, given together."""
    layer = WITH_STATES[name]
    followed = follow(tmp_path, layer.data(), rounds=1)
    assert followed.outcome.code == 0, followed.outcome.said
    sent = {each.name for each in followed.outcome.artifact.manifest.spec.sent_inputs}
    assert "x" in sent


@pytest.mark.parametrize("name", WITH_STATES)
def test_states_beside_lengths_are_states(tmp_path: Path, name: str) -> None:
    """initial_h comes back as Y_h, and initial_c as Y_c, or clients send them: never one alone."""
    layer = WITH_STATES[name]
    outcome = follow(tmp_path, layer.data(), rounds=1).outcome
    assert states(outcome) in (set(layer.start), set())


@pytest.mark.parametrize("name", WITH_STATES)
def test_no_size_is_asked_for_where_lengths_are_the_matter(tmp_path: Path, name: str) -> None:
    """A row of one length more or less does not make time a size to be said."""
    outcome = run_import(tmp_path, WITH_STATES[name].data())
    if outcome.code != 0:
        lengths = WITH_STATES[name].lengths
        assert "SIZE" not in outcome.said
        assert lengths in " ".join(first_advice(outcome.said))
        assert lengths in outcome.said.partition(" Way out: ")[0]


@pytest.mark.parametrize("name", ["gru", "lstm", "rnn", "lengths", "wide"])
def test_lengths_are_the_services_to_give(tmp_path: Path, name: str) -> None:
    """Where nobody sends them, rows of different lengths share a run and no client counts."""
    layer = WITH_STATES[name]
    manifest = run_import(tmp_path, layer.data()).artifact.manifest
    assert [each.name for each in manifest.spec.inputs] == ["x"]
    assert manifest.programs["onnx"].lengths == layer.lengths
    assert manifest.programs["onnx"].ragged == "exact"


@pytest.mark.parametrize("time", ["T", 5])
def test_states_of_both_directions_are_sent(tmp_path: Path, time: int | str) -> None:
    """The end of no step is where the next one starts, in a window no more than over time."""
    layer = Layer("LSTM", states=True, directions=2, time=time)
    followed = follow(tmp_path, layer.data(), rounds=1)
    assert followed.rounds == (("--sent", "initial_h", "--sent", "initial_c"),)
    assert states(followed.outcome) == set()
    assert followed.outcome.artifact.manifest.spec.streaming == "none"


@pytest.mark.parametrize("name", STATELESS)
def test_lengths_without_states_just_work(tmp_path: Path, name: str) -> None:
    """As today: nothing is to be said."""
    assert run_import(tmp_path, STATELESS[name].data()).artifact.manifest.spec.has_batch


@pytest.mark.parametrize("name", STATELESS)
def test_lengths_are_measured_at_their_own_sizes(tmp_path: Path, name: str) -> None:
    """--range does not make shorter sequences `not accepted`: lengths are drawn within them."""
    flags = ("--range", "sequence_lens=1..7")
    outcome = run_import(tmp_path, STATELESS[name].data(), *flags)
    assert outcome.code == 0, outcome.said
    assert "not accepted" not in outcome.said


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of files that clients tell lengths, and of a module that packs by them."""
    folder = tmp_path_factory.mktemp("lengths")
    for name, layer in STATELESS.items():
        (folder / name).write_bytes(layer.data())
        given = ["import", f"{folder / name}", "--name", name, "--sent", "sequence_lens"]
        assert main([*given, "--quiet", "--model-repository", f"{folder / 'models'}"]) == 0
    one = Layer("GRU", states=True, rows=1)
    (folder / "one-row").write_bytes(one.data())
    given = ["import", f"{folder / 'one-row'}", "--name", "one-row", "--sent", "sequence_lens"]
    assert main([*given, "--quiet", "--model-repository", f"{folder / 'models'}"]) == 0
    given = ["import", f"{folder / 'wide'}", "--name", "filled-in"]
    assert main([*given, "--quiet", "--model-repository", f"{folder / 'models'}"]) == 0
    torch.manual_seed(0)
    example = (torch.randn(2, 5, 3), torch.tensor([5, 3]))
    export_model(Packs(), example, name="packs", repository=f"{folder / 'models'}", quiet=True)
    with Live(folder / "models") as live:
        yield live


def ask(service: Live, model: str, *lengths: int, name: str = "sequence_lens") -> Any:
    """Whole sequences of five steps, each told one of these lengths."""
    sequences = [{"x": ROW.tolist(), name: length} for length in lengths]
    return service.client.post(f"/v1/models/{model}/infer", json={"sequences": sequences})


@pytest.mark.parametrize("model", STATELESS)
@pytest.mark.parametrize("length", [1, 3, 5])
def test_a_length_within_the_sequence_is_the_files(service: Live, model: str, length: int) -> None:
    """Answered as the file answers that row of that length."""
    answer = ask(service, model, length)
    assert answer.status_code == 200, answer.text
    for name, expected in STATELESS[model].alone(ROW, length).items():
        assert farthest(answer.json()["outputs"][0][name], expected) <= 1e-5


def test_lengths_that_are_cast_are_filled_in(service: Live) -> None:
    """Rows of different lengths in one request, each answered as the file answers it alone."""
    sequences = [{"x": ROW[:length].tolist()} for length in (5, 3)]
    answer = service.client.post("/v1/models/filled-in/infer", json={"sequences": sequences})
    assert answer.status_code == 200, answer.text
    for found, length in zip(answer.json()["outputs"], (5, 3), strict=True):
        expected = STATELESS["wide"].alone(ROW[:length], length)
        assert farthest(found["Y_h"], expected["Y_h"]) <= 1e-5


@pytest.mark.parametrize("model", STATELESS)
@pytest.mark.parametrize("length", [6, 7, 100, 2**31 - 1, -1, -(2**31)])
def test_a_length_that_no_row_has_answers_422(service: Live, model: str, length: int) -> None:
    """The client's mistake, told where: not a failed model."""
    answer = ask(service, model, length)
    assert answer.status_code == 422, answer.text
    assert "sequence_lens" in answer.json()["detail"]
    assert answer.json()["code"] != "backend_failed"


@pytest.mark.parametrize("model", STATELESS)
def test_a_length_of_zero_is_the_files_or_a_mistake(service: Live, model: str) -> None:
    """ONNX Runtime answers zeros; nothing else is answered, and nothing fails."""
    answer = ask(service, model, 0)
    assert answer.status_code in (200, 422), answer.text
    if answer.status_code == 200:
        for name, expected in STATELESS[model].alone(ROW, 0).items():
            assert farthest(answer.json()["outputs"][0][name], expected) <= 1e-5


def test_a_wrong_length_is_told_by_its_place(service: Live) -> None:
    """Of several sequences the one that is wrong is named."""
    answer = ask(service, "gru", 5, 6)
    assert answer.status_code == 422, answer.text
    assert "sequences[1].sequence_lens" in answer.json()["detail"]


def test_a_wrong_length_fails_no_neighbour(service: Live) -> None:
    """What comes after a refused request is answered."""
    assert ask(service, "lstm", 6).status_code == 422
    answer = ask(service, "lstm", 2, 5)
    assert answer.status_code == 200, answer.text
    for found, length in zip(answer.json()["outputs"], (2, 5), strict=True):
        assert farthest(found["Y_h"], STATELESS["lstm"].alone(ROW, length)["Y_h"]) <= 1e-5


def test_a_wrong_length_over_the_open_protocol_answers_422(service: Live) -> None:
    """The same of /v2."""
    x = {"name": "x", "shape": [1, 5, 3], "datatype": "FP32", "data": ROW.ravel().tolist()}
    for length, status in ((5, 200), (6, 422), (-1, 422)):
        told = {"name": "sequence_lens", "shape": [1], "datatype": "INT32", "data": [length]}
        answer = service.client.post("/v2/models/gru/infer", json={"inputs": [x, told]})
        assert answer.status_code == status, answer.text
        assert ("sequence_lens" in answer.text) == (status == 422)


@pytest.mark.parametrize("length", [6, 100, -1])
def test_a_wrong_length_leaves_a_session_where_it_was(service: Live, length: int) -> None:
    """A step that is refused is not half done."""
    opened = service.client.post("/v1/sessions", json={"model": "one-row"})
    assert opened.status_code == 201, opened.text
    session = opened.json()["session_id"]
    before = service.client.get(f"/v1/sessions/{session}/state").json()
    inputs = {"x": ROW[:, None].tolist(), "sequence_lens": [length]}
    steps = [{"session_id": session, "inputs": inputs}]
    result = service.client.post("/v1/steps", json={"steps": steps}).json()
    assert "backend_failed" not in f"{result}"
    assert "sequence_lens" in f"{result}"
    assert service.client.get(f"/v1/sessions/{session}/state").json() == before


@pytest.mark.parametrize("length", [0, -1, 3, 6])
def test_a_module_that_packs_is_told_by_the_sequences_themselves(
    service: Live, length: int
) -> None:
    """Its lengths are the service's to give, and no client's."""
    answer = ask(service, "packs", length, name="lengths")
    assert answer.status_code == 422, answer.text
    assert "lengths" in answer.json()["detail"]
