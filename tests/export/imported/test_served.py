"""Files that Carousel did not export, imported and served, beside the files themselves.

Several callers of each model step in turns and in one batch; what each is answered is what ONNX
Runtime or torch answers to it alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carousel.export.__main__ import main
from carousel.models.repository import Repository
from tests.export.imported.foreign.files import Arrays, Foreign
from tests.export.imported.foreign.models import FOREIGN
from tests.harness.live import Live

NUM_CALLERS = 5
NUM_STEPS = 9


@pytest.fixture(scope="module")
def files() -> dict[str, Foreign]:
    """The files, by name."""
    return {name: make() for name, make in FOREIGN.items()}


@pytest.fixture(scope="module")
def imported(files: dict[str, Foreign], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of all of them, imported on the command line."""
    folder = tmp_path_factory.mktemp("imported")
    initial = files["alone"].write_start(folder)
    for name, each in files.items():
        path = each.write(folder)
        flags = ["--initial", f"{initial}"] if name == "alone" else []
        arguments = ["import", f"{path}", "--name", each.name, *each.flags, *flags, "--quiet"]
        assert main([*arguments, "--model-repository", f"{folder / 'models'}"]) == 0, name
    return folder / "models"


@pytest.fixture(scope="module")
def service(imported: Path) -> Iterator[Live]:
    """A service of all of them."""
    with Live(imported) as live:
        yield live


def opened(service: Live, foreign: Foreign, rng: np.random.Generator) -> tuple[str, Arrays]:
    """A session, and the states it starts from where they are its own to give."""
    body: dict[str, Any] = {"model": foreign.name}
    start: Arrays = {}
    if any(output is None for output in foreign.pairs.values()):
        start = {
            name: rng.standard_normal(value.shape).astype(value.dtype) if output is None else value
            for name, (output, value) in _both(foreign).items()
        }
        body["state"] = {name: value[0].tolist() for name, value in start.items()}
    answer = service.client.post("/v1/sessions", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["session_id"], start


def _both(foreign: Foreign) -> dict[str, tuple[str | None, Any]]:
    return {name: (output, foreign.start[name]) for name, output in foreign.pairs.items()}


def sent(sequence: Arrays, start: int, stop: int) -> Any:
    """Some time steps as they go out: an array, or an object of arrays."""
    parts = {name: each[start:stop].tolist() for name, each in sequence.items()}
    return parts if len(parts) > 1 else next(iter(parts.values()))


def close(found: Any, expected: Any, tolerance: float) -> None:
    """Equal within a bound relative to the largest value; NaN is not."""
    assert np.shape(found) == expected.shape
    largest = max(1.0, float(np.abs(expected).max()))
    assert np.abs(np.asarray(found) - expected).max() <= tolerance * largest


@pytest.mark.parametrize("name", FOREIGN)
def test_every_caller_is_answered_as_the_file_answers_it_alone(
    service: Live, files: dict[str, Foreign], name: str
) -> None:
    """Callers that step together, skip turns and take pieces of any length never mix."""
    foreign, rng = files[name], np.random.default_rng(len(name))
    sequences = [foreign.sequence(rng, NUM_STEPS) for _ in range(NUM_CALLERS)]
    sessions = [opened(service, foreign, rng) for _ in range(NUM_CALLERS)]
    heard: list[list[Any]] = [[] for _ in range(NUM_CALLERS)]
    positions = [0] * NUM_CALLERS
    while min(positions) < NUM_STEPS:
        steps, turns = [], []
        for caller, ((session, _), position) in enumerate(zip(sessions, positions, strict=True)):
            stop = min(NUM_STEPS, position + int(rng.integers(0, 4)))
            if stop > position:
                inputs = sent(sequences[caller], position, stop)
                steps.append({"session_id": session, "inputs": inputs, "position": position})
                turns.append((caller, stop))
        answer = service.client.post("/v1/steps", json={"steps": steps}) if steps else None
        for (caller, stop), result in zip(
            turns, answer.json()["results"] if answer else [], strict=True
        ):
            heard[caller] += result["outputs"]
            positions[caller] = result["position"]
            assert positions[caller] == stop
    for (_, start), sequence, outputs in zip(sessions, sequences, heard, strict=True):
        expected = foreign.answers(sequence, start)[foreign.outputs[0]]
        close(outputs, expected, 2e-3 if name in ("half", "hides") else 1e-5)


@pytest.mark.parametrize("name", FOREIGN)
def test_whole_sequences_are_answered_as_the_file_answers_them(
    service: Live, files: dict[str, Foreign], name: str
) -> None:
    """Without a session, two sequences in one request."""
    foreign, rng = files[name], np.random.default_rng(1)
    sequences = [foreign.sequence(rng, length) for length in (NUM_STEPS, 4)]
    body = with_fixed(foreign, [sent(each, 0, NUM_STEPS) for each in sequences])
    answer = service.client.post(f"/v1/models/{foreign.name}/infer", json=body).json()
    for found, sequence in zip(answer["outputs"], sequences, strict=True):
        close(found, foreign.answers(sequence)[foreign.outputs[0]], 1e-5)


@pytest.mark.parametrize("name", [name for name in FOREIGN if name != "alone"])
def test_callers_share_runs(service: Live, files: dict[str, Foreign], name: str) -> None:
    """Frames of many callers that come together run in fewer batches than there are frames."""
    foreign, rng = files[name], np.random.default_rng(2)
    body = with_fixed(foreign, [sent(foreign.sequence(rng, 1), 0, 1) for _ in range(16)])
    before = batches(service, foreign.name)
    answer = service.client.post(f"/v1/models/{foreign.name}/infer", json=body)
    assert answer.status_code == 200, answer.text
    assert batches(service, foreign.name) - before < 16


def with_fixed(foreign: Foreign, sequences: list[Any]) -> dict[str, Any]:
    """A request of whole sequences; states that never change are to be given with each."""
    fixed = {
        name: foreign.start[name][0].tolist()
        for name, output in foreign.pairs.items()
        if output is None
    }
    return {"sequences": sequences} | ({"states": [fixed] * len(sequences)} if fixed else {})


def batches(service: Live, model: str) -> float:
    """How many batches a model has run."""
    for line in service.client.get("/metrics").text.splitlines():
        if line.startswith("carousel_model_batches_total") and f'model="{model}' in line:
            return float(line.split()[-1])
    raise AssertionError("no such figure")


def test_a_model_without_a_batch_axis_says_so_once(service: Live) -> None:
    """One line of the log names the model whose rows run one by one, and no other model."""
    lines = [line for line in service.logs if "one by one" in line]
    assert len(lines) == 1
    assert "alone/1" in lines[0]


def test_what_a_model_is_can_be_asked(service: Live) -> None:
    """Axes, folds, kept samples, ranges and dtypes are those of the file as clients see them."""

    def shapes(name: str, kind: str) -> dict[str, Any]:
        info = service.client.get(f"/v1/models/{name}").json()
        return {each["name"]: (each["dtype"], each["shape"]) for each in info[kind]}

    assert shapes("denoiser", "states") == {
        "conv_cache": ("float32", [2, "batch", 16, 4, 33]),
        "tra_cache": ("float32", [2, 3, 1, "batch", 16]),
        "inter_cache": ("float32", [2, 1, 33, 16]),
    }
    assert shapes("ahead", "states") == {"x.context": ("float32", ["batch", 3, 3])}
    assert shapes("alone", "inputs") == {"spec": ("float32", [5])}
    assert shapes("cache-aware", "states")["cache_last_channel_len"] == ("int64", ["batch"])
    info = service.client.get("/v1/models/predictor").json()
    assert (info["streaming"], info["inputs"][0]["low"], info["inputs"][0]["high"]) == (
        "step",
        0,
        22,
    )
    assert service.client.get("/v1/models/scripted").json()["program"] == "torchscript"


def test_ids_beyond_the_table_are_refused(service: Live) -> None:
    """ONNX Runtime takes -1 without a word; the bounds that were found do not."""
    body = {"sequences": [[[-1]]]}
    answer = service.client.post("/v1/models/predictor/infer", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "out_of_range")


def test_first_values_are_those_of_the_file_of_them(
    service: Live, files: dict[str, Foreign]
) -> None:
    """A new session's state is what --initial gave."""
    session = service.client.post("/v1/sessions", json={"model": "alone"}).json()["session_id"]
    state = service.client.get(f"/v1/sessions/{session}/state").json()["state"]
    assert np.array_equal(np.float32(state["state_in"]), files["alone"].start["state_in"])


def test_an_artifact_is_like_any_other(imported: Path, files: dict[str, Foreign]) -> None:
    """Sums hold, every comparison is in the manifest, and a second import is the next version."""
    artifact = Repository(imported).open("tagger")
    artifact.verify()
    checks = {case.check for case in artifact.manifest.parity.cases}
    assert checks == {"whole", "rows", "chunks 1", "chunks T-1|1"}
    assert artifact.manifest.tools.keys() >= {"torch", "onnxruntime", "producer"}
    path = files["tagger"].write(imported.parent)
    arguments = ["import", f"{path}", "--name", "tagger", "--quiet"]
    assert main([*arguments, "--model-repository", f"{imported}"]) == 0
    again = Repository(imported).open("tagger")
    assert (again.version, again.manifest.state_id) == (2, artifact.manifest.state_id)
