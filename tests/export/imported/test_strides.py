"""Files that shorten time: what is described is what is answered, at every length."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carousel.export.__main__ import main
from carousel.models.manifest import dump_manifest
from carousel.models.row import Array
from carousel.models.spec import OutputSpec
from tests.export.imported.advice import reason
from tests.export.imported.foreign import strides as foreign_strides
from tests.export.imported.foreign.files import Arrays, Foreign, farthest
from tests.export.imported.foreign.strides import STRIDED
from tests.export.imported.outcome import Outcome, run_import
from tests.harness.live import Live


def stride(output: OutputSpec) -> int:
    """How many steps an output stands for."""
    return getattr(output, "stride", None) or 1


def outputs(outcome: Outcome) -> dict[str, OutputSpec]:
    """The outputs of the artifact."""
    return {each.name: each for each in outcome.artifact.manifest.spec.outputs}


def drawn(num_steps: int) -> Array:
    """One sequence, (T, 3)."""
    rng = np.random.default_rng(num_steps)
    return rng.standard_normal((num_steps, 3)).astype(np.float32)


@cache
def data(name: str) -> bytes:
    """A file, made once."""
    return STRIDED[name][1]()


def alone(name: str, x: Array) -> Arrays:
    """What ONNX Runtime answers to one sequence."""
    found = Foreign(name, data(name), {}, (), {}, {}).run({"x": x[None]})
    return {output: each[0] for output, each in found.items()}


@pytest.mark.parametrize("name", STRIDED)
def test_shorter_time_is_described_as_such(tmp_path: Path, name: str) -> None:
    """Steps, not a size that happened to come out, and per how many."""
    every, _ = STRIDED[name]
    found = outputs(run_import(tmp_path, data(name)))
    assert "time" in found["y"].axes
    assert found["y"].per == "step"
    assert stride(found["y"]) == every
    assert (stride(found["last"]), found["last"].per) == (1, "sequence")


@pytest.mark.parametrize("name", STRIDED)
def test_the_stride_is_printed(tmp_path: Path, name: str) -> None:
    """What was found says per how many steps an output comes."""
    said = run_import(tmp_path, data(name)).said
    lines = [line for line in said.splitlines() if line.split()[:1] == ["y"]]
    assert lines, said
    assert f"every {STRIDED[name][0]} steps" in lines[0]


def test_an_output_for_every_step_has_no_stride(tmp_path: Path) -> None:
    """Beside one that has; and nothing of it stands in a manifest that does not need it."""
    outcome = run_import(tmp_path, foreign_strides.both())
    found = outputs(outcome)
    assert {name: stride(each) for name, each in found.items()} == {"every": 1, "second": 2}
    assert dump_manifest(outcome.artifact.manifest).decode().count('"stride"') == 1


@pytest.mark.parametrize("every", [2, 3])
def test_a_state_beside_shorter_time_is_no_doubt(tmp_path: Path, every: int) -> None:
    """The stride is described; a chunk shorter than it is why, where nothing is streamed."""
    outcome = run_import(tmp_path, foreign_strides.with_state(every))
    assert stride(outputs(outcome)["y"]) == every
    spec = outcome.artifact.manifest.spec
    assert spec.streaming == "step" or spec.streaming_reason


def test_a_step_that_is_left_over_is_described_too(tmp_path: Path) -> None:
    """Of T steps come (T + 1) // 2: the offset stands beside the stride."""
    found = outputs(run_import(tmp_path, foreign_strides.rounded_up()))
    assert (found["y"].stride, found["y"].offset) == (2, 1)
    assert [found["y"].num_steps(time) for time in (1, 2, 3, 4)] == [1, 1, 2, 2]


def test_what_no_stride_describes_is_refused(tmp_path: Path) -> None:
    """The output is named, and what its sizes were."""
    outcome = run_import(tmp_path, foreign_strides.longer())
    assert outcome.code == 1, outcome.said
    assert "output y " in reason(outcome.said)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of all that could be imported."""
    folder = tmp_path_factory.mktemp("strides")
    for name in STRIDED:
        (folder / name).write_bytes(data(name))
        given = ["import", f"{folder / name}", "--name", name, "--quiet"]
        assert main([*given, "--model-repository", f"{folder / 'models'}"]) == 0, name
    with Live(folder / "models") as live:
        yield live


def infer(service: Live, name: str, *sequences: Array) -> Any:
    """Whole sequences in one request."""
    body = {"sequences": [each.tolist() for each in sequences]}
    return service.client.post(f"/v1/models/{name}/infer", json=body)


@pytest.mark.parametrize("name", STRIDED)
def test_every_length_is_answered_as_the_file_answers_it(service: Live, name: str) -> None:
    """Among sequences of other lengths; so many steps as the stride says, the rest left out."""
    every = STRIDED[name][0]
    sequences = [drawn(length) for length in range(every, 3 * every + 1)]
    answer = infer(service, name, *sequences)
    assert answer.status_code == 200, answer.text
    for found, x in zip(answer.json()["outputs"], sequences, strict=True):
        expected = alone(name, x)
        assert len(found["y"]) == len(x) // every
        for output, value in expected.items():
            assert farthest(found[output], value) <= 1e-5


@pytest.mark.parametrize("name", STRIDED)
def test_a_sequence_shorter_than_one_stride_is_no_failure(service: Live, name: str) -> None:
    """Nothing to answer with, or the client's mistake: never a failed model."""
    answer = infer(service, name, drawn(STRIDED[name][0] - 1))
    assert answer.status_code in (200, 422), answer.text


@pytest.mark.parametrize("name", STRIDED)
def test_metadata_says_per_how_many_steps(service: Live, name: str) -> None:
    """/v1 names the stride and /v2 leaves the length open; answers have these shapes."""
    told = service.client.get(f"/v1/models/{name}").json()["outputs"]
    y = next(each for each in told if each["name"] == "y")
    assert y["stride"] == STRIDED[name][0]
    assert "time" in y["shape"]
    last = next(each for each in told if each["name"] == "last")
    assert last.get("stride", 1) in (1, None)
    open_protocol = service.client.get(f"/v2/models/{name}").json()["outputs"]
    shape = next(each["shape"] for each in open_protocol if each["name"] == "y")
    assert shape[:2] == [-1, -1]


@pytest.mark.parametrize("name", STRIDED)
def test_the_open_protocol_answers_with_shorter_time(service: Live, name: str) -> None:
    """The shape that comes back is that of what the file gives."""
    x = drawn(2 * STRIDED[name][0] + 1)
    tensor = {"name": "x", "shape": [1, *x.shape], "datatype": "FP32", "data": x.ravel().tolist()}
    answer = service.client.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})
    assert answer.status_code == 200, answer.text
    expected = alone(name, x)["y"]
    y = next(each for each in answer.json()["outputs"] if each["name"] == "y")
    assert y["shape"] == [1, *expected.shape]
    assert farthest(y["data"], expected.ravel()) <= 1e-5
