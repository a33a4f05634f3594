"""Files whose every output is a state: the states are answers as well."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from carousel.export.__main__ import main
from carousel.models.repository import Repository
from tests.export.imported.foreign.files import Arrays, Foreign, farthest, onnx_bytes
from tests.export.imported.foreign.pairs import cell_of_states, one_state
from tests.export.imported.outcome import run_import
from tests.harness.live import Live


class Layer(nn.Module):
    """An LSTM over time of which nothing is given but h and c."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        """x (T, B, 3), h and c (1, B, 5)."""
        h, c = self.lstm(x, (h, c))[1]
        return h, c


def layer() -> bytes:
    """The layer as ONNX."""
    torch.manual_seed(0)
    example = {"x": torch.zeros(4, 2, 3), "h": torch.zeros(1, 2, 5), "c": torch.zeros(1, 2, 5)}
    axes = {"x": {0: "T", 1: "N"}, "h": {1: "N"}, "c": {1: "N"}}
    return onnx_bytes(Layer(), example, ["hn", "cn"], axes)


def cell(*states: str) -> Foreign:
    """A cell of one frame; `states` are h alone, or h and c."""
    pairs = {each: f"{each}n" for each in states}
    start: Arrays = {each: np.zeros((1, 5), np.float32) for each in states}
    outputs = tuple(pairs.values())
    return Foreign(
        "-".join(("cell", *states)),
        cell_of_states(pairs),
        {"x": ((3,), "float32", 0)},
        outputs,
        pairs,
        start,
    )


CELLS: Mapping[str, Foreign] = {each.name: each for each in (cell("h"), cell("h", "c"))}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of both cells and of the layer."""
    folder = tmp_path_factory.mktemp("cells")
    (folder / "layer.onnx").write_bytes(layer())
    for name in (*CELLS, "layer"):
        path = CELLS[name].write(folder) if name in CELLS else folder / "layer.onnx"
        given = ["import", f"{path}", "--name", name, "--quiet"]
        assert main([*given, "--model-repository", f"{folder / 'models'}"]) == 0, name
    with Live(folder / "models") as live:
        yield live


def heard(outputs: Any, name: str) -> Any:
    """The steps of one output; a lone output comes without its name."""
    return outputs[name] if isinstance(outputs, dict) else outputs


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_of_states_is_imported(tmp_path: Path, name: str) -> None:
    """Each state's new value is its state, and an output."""
    spec = run_import(tmp_path, CELLS[name].data).artifact.manifest.spec
    assert {each.name: each.output for each in spec.states} == CELLS[name].pairs
    assert [each.name for each in spec.outputs] == list(CELLS[name].outputs)
    assert {each.per for each in spec.outputs} == {"step"}
    assert spec.streaming == "step"


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_of_states_answers_with_them(service: Live, name: str) -> None:
    """In a session, step by step, as ONNX Runtime answers one caller with the file."""
    foreign = CELLS[name]
    sequence = foreign.sequence(np.random.default_rng(1), 6)
    expected = foreign.answers(sequence)
    opened = service.client.post("/v1/sessions", json={"model": name})
    assert opened.status_code == 201, opened.text
    session = opened.json()["session_id"]
    for start, stop in ((0, 1), (1, 4), (4, 6)):
        steps = [{"session_id": session, "inputs": sequence["x"][start:stop].tolist()}]
        answer = service.client.post("/v1/steps", json={"steps": steps}).json()["results"][0]
        for output in foreign.outputs:
            found = heard(answer["outputs"], output)
            assert farthest(found, expected[output][start:stop]) <= 1e-5


@pytest.mark.parametrize("name", CELLS)
def test_whole_sequences_are_answered_with_states(service: Live, name: str) -> None:
    """Without a session; never an empty object."""
    foreign = CELLS[name]
    sequence = foreign.sequence(np.random.default_rng(2), 4)
    body = {"sequences": [sequence["x"].tolist()]}
    answer = service.client.post(f"/v1/models/{name}/infer", json=body).json()["outputs"][0]
    assert answer
    for output, expected in foreign.answers(sequence).items():
        assert farthest(heard(answer, output), expected) <= 1e-5


def test_a_layer_of_states_answers_the_last(service: Live) -> None:
    """Over time h and c belong to the last step: one for the sequence."""
    info = service.client.get("/v1/models/layer").json()
    assert info["streaming"] == "last"
    assert {each["name"]: each["per"] for each in info["outputs"]} == dict.fromkeys(
        ("hn", "cn"), "sequence"
    )
    x = np.random.default_rng(3).standard_normal((6, 1, 3)).astype(np.float32)
    zero = np.zeros((1, 1, 5), np.float32)
    file = Foreign("layer", layer(), {}, (), {}, {})
    expected = file.run({"x": x, "h": zero, "c": zero})
    body = {"sequences": [x[:, 0].tolist()]}
    answer = service.client.post("/v1/models/layer/infer", json=body).json()["outputs"][0]
    for output in ("hn", "cn"):
        assert farthest(answer[output], expected[output][:, 0]) <= 1e-5


def test_states_that_are_asked_for_by_name_are_answers(tmp_path: Path) -> None:
    """--state for each, and nothing left: not the flag is to blame, and both are served."""
    flags = ("--state", "h=hn", "--state", "c=cn")
    spec = run_import(tmp_path, CELLS["cell-h-c"].data, *flags).artifact.manifest.spec
    assert [each.name for each in spec.outputs] == ["hn", "cn"]


def test_what_answers_beside_states_is_the_only_answer(tmp_path: Path) -> None:
    """Where something else is an output, states stay out of the answer as before."""
    spec = run_import(tmp_path, one_state("state", "state_out")).artifact.manifest.spec
    assert [each.name for each in spec.outputs] == ["y"]


def test_a_lone_state_is_in_the_repository(tmp_path: Path) -> None:
    """The golden example holds the state's new value under both of its names."""
    outcome = run_import(tmp_path, CELLS["cell-h"].data)
    assert outcome.code == 0, outcome.said
    golden = Repository(outcome.repository).open("m").golden()
    assert np.array_equal(golden["output.hn"], golden["state_out.h"])
