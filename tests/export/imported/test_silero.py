"""Silero VAD, every file of its package, served beside the package's own streaming loops."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
import silero_vad  # type: ignore[import-untyped]  # it carries no annotations
import torch
from silero_vad.sequence_vad import SileroVADSequence  # type: ignore[import-untyped]
from silero_vad.utils_vad import OnnxWrapper, init_jit_model  # type: ignore[import-untyped]

from carousel.export.__main__ import main
from tests.export.imported.speech import RATE, Samples, speech
from tests.harness.live import Live

DATA = Path(silero_vad.__file__).parent / "data"
NEW, KEPT = 512, 64
SIZED = ("--input", f"input:float32:batch,{NEW + KEPT}")
RATED = ("--constant", f"sr={RATE}")


@dataclass(frozen=True, slots=True)
class Variant:
    """A file of the package, what the importer is told of it, and its input's name."""

    file: str
    flags: tuple[str, ...]
    input: str = "input"
    has_batch: bool = True


VARIANTS = {
    "silero_vad": Variant("silero_vad.onnx", (*SIZED, *RATED)),
    "op15": Variant("silero_vad_16k_op15.onnx", (*SIZED, *RATED)),
    "op18": Variant("silero_vad_op18_ifless.onnx", (*SIZED, *RATED)),
    "half": Variant("silero_vad_half.onnx", SIZED),
    "openvino": Variant("silero_vad_openvino_16k.onnx", (), has_batch=False),
    "sequence": Variant("silero_vad_16k_sequence.onnx", (), has_batch=False),
    "torchscript": Variant(
        "silero_vad.jit",
        (
            *("--submodule", "_model", "--input", f"x:float32:batch,{NEW + KEPT}"),
            *("--input", "state:float32:2,batch,128"),
        ),
        input="x",
    ),
    "torchscript-rows-alone": Variant(
        "silero_vad.jit",
        (
            *("--submodule", "_model", "--input", f"x:float32:1,{NEW + KEPT}"),
            *("--input", "state:float32:2,1,128"),
        ),
        input="x",
        has_batch=False,
    ),
}


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Samples]:
    """What is listened to, cut to whole frames."""
    return [
        each[: len(each) // NEW * NEW] for each in speech(tmp_path_factory.mktemp("recordings"))
    ]


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """One file after the other; its model has this name."""
    return str(request.param)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of all of them, imported on the command line."""
    folder = tmp_path_factory.mktemp("silero")
    for name, each in VARIANTS.items():
        arguments = ["import", f"{DATA / each.file}", "--name", name, *each.flags, "--quiet"]
        context = ("--context", f"{each.input}={KEPT}")
        assert main([*arguments, *context, "--model-repository", f"{folder}"]) == 0
    with Live(folder) as live:
        yield live


def heard_by_the_package(name: str, samples: Samples) -> list[float]:
    """Speech probabilities of every frame, by the package's own loop over the same file."""
    path, found = f"{DATA / VARIANTS[name].file}", torch.from_numpy(samples)
    if name == "sequence":
        return [float(each) for each in SileroVADSequence(path).audio_forward(samples)]
    if name in ("half", "openvino"):
        return _loop(path, samples)
    return [float(each) for each in _wrapped(path, found[None])[0]]


def _wrapped(path: str, samples: torch.Tensor) -> Any:
    """The package's own streaming wrapper on the callers (B, samples) together: (B, frames)."""
    with warnings.catch_warnings(), torch.no_grad():
        # That a file is for 16 kHz alone, and that TorchScript is deprecated.
        warnings.simplefilter("ignore")
        model = init_jit_model(path) if path.endswith(".jit") else OnnxWrapper(path, True)
        return model.audio_forward(samples, RATE).numpy()


def rounding(name: str, recordings: list[Samples]) -> float:
    """How far the package's wrapper is from itself when callers go through it together.

    Nothing in ONNX Runtime. torch sums in another order once there is more than one row.
    """
    if name != "torchscript":
        return 0.0
    shortest = min(map(len, recordings))
    together = torch.stack([torch.from_numpy(each[:shortest]) for each in recordings])
    path = f"{DATA / VARIANTS[name].file}"
    alone = np.concatenate([_wrapped(path, each[None]) for each in together])
    return float(np.abs(_wrapped(path, together) - alone).max())


def _loop(path: str, samples: Samples) -> list[float]:
    """What the package's loop does, for the files that it does not run: they take no `sr`."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    kept, state = np.zeros((1, KEPT), np.float32), np.zeros((2, 1, 128), np.float32)
    found: list[float] = []
    for start in range(0, len(samples), NEW):
        seen = np.concatenate([kept, samples[np.newaxis, start : start + NEW]], 1)
        output, state = session.run(None, {"input": seen, "state": state})
        kept = seen[:, -KEPT:]
        found.append(float(output[0, 0]))
    return found


def test_every_caller_hears_what_the_package_hears(
    service: Live, variant: str, recordings: list[Samples]
) -> None:
    """Callers that send pieces of any length together get its probabilities, within 1e-5 beside
    what torch's own rounding does to its wrapper.
    """
    allowed = 1e-5 + rounding(variant, recordings)
    rng = np.random.default_rng(3)
    callers = [each for each in recordings for _ in range(2)]
    known_by_the_package = [heard_by_the_package(variant, each) for each in recordings]
    sessions = [
        service.client.post("/v1/sessions", json={"model": variant}).json()["session_id"]
        for _ in callers
    ]
    heard: list[list[float]] = [[] for _ in callers]
    shape = (-1, NEW) if VARIANTS[variant].has_batch or variant == "sequence" else (-1, 1, NEW)
    while steps := [
        {"session_id": session, "inputs": piece.reshape(shape).tolist(), "position": len(known)}
        for session, samples, known in zip(sessions, callers, heard, strict=True)
        for piece in [samples[len(known) * NEW :][: int(rng.integers(1, 9)) * NEW]]
        if len(piece)
    ]:
        answer = service.client.post("/v1/steps", json={"steps": steps}).json()
        for result in answer["results"]:
            found = np.asarray(result["outputs"]).reshape(-1)
            heard[sessions.index(result["session_id"])] += [float(each) for each in found]
    for index, known in enumerate(heard):
        expected = known_by_the_package[index // 2]
        assert len(known) == len(expected)
        assert np.abs(np.subtract(known, expected)).max() <= allowed
        assert max(expected) - min(expected) > 0.5, "nothing was said that could be heard"


def test_frames_of_many_callers_run_together(service: Live, variant: str) -> None:
    """Thirty-two callers that come together take fewer runs, where the file has a batch axis."""
    frames = np.random.default_rng(0).standard_normal((32, 1, NEW)).astype(np.float32)
    if not VARIANTS[variant].has_batch and variant != "sequence":
        frames = frames[:, :, np.newaxis]
    before = _batches(service, variant)
    body = {"sequences": frames.tolist()}
    assert service.client.post(f"/v1/models/{variant}/infer", json=body).status_code == 200
    ran = _batches(service, variant) - before
    assert ran < 32 if VARIANTS[variant].has_batch else ran == 32
    said = [line for line in service.logs if "one by one" in line and f"{variant}/1:" in line]
    assert len(said) == (0 if VARIANTS[variant].has_batch else 1)


def _batches(service: Live, model: str) -> float:
    lines = service.client.get("/metrics").text.splitlines()
    wanted = re.compile(f'carousel_model_batches_total{{.*model="{model}"')
    (line,) = filter(wanted.match, lines)
    return float(line.split()[-1])


def test_the_kept_samples_are_a_state_as_any_other(service: Live, variant: str) -> None:
    """They are read with the session's state, and a session that is given them goes on so."""
    if not VARIANTS[variant].has_batch:
        pytest.skip("one of each layout is enough")
    name = f"{VARIANTS[variant].input}.context"
    frames = np.random.default_rng(1).standard_normal((4, NEW)).astype(np.float32)
    first = service.client.post("/v1/sessions", json={"model": variant}).json()["session_id"]
    service.client.post(f"/v1/sessions/{first}/steps", json={"inputs": frames[:3].tolist()})
    state = service.client.get(f"/v1/sessions/{first}/state").json()["state"]
    assert np.array_equal(np.float32(state[name]), frames[2, -KEPT:])
    opened = service.client.post("/v1/sessions", json={"model": variant, "state": state}).json()
    last = {"inputs": frames[3:].tolist()}
    answers = [
        service.client.post(f"/v1/sessions/{each}/steps", json=last).json()["outputs"]
        for each in (first, opened["session_id"])
    ]
    assert answers[0] == answers[1]


def test_the_open_size_is_refused_with_what_it_ran_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file leaves open how many samples it sees; the sizes that ran and the flag are named."""
    arguments = ["import", f"{DATA / 'silero_vad.onnx'}", "--name", "vad", *RATED, "--quiet"]
    given = ["--context", f"input={KEPT}", "--model-repository", f"{tmp_path}"]
    assert main([*arguments, *given]) == 1
    said = capsys.readouterr().err
    assert "leaves axis 1 of input open" in said
    assert " 512, 576," in said
    assert "--input input:float32:batch,SIZE" in said
    assert not list(tmp_path.iterdir())


def test_the_hidden_state_of_the_torchscript_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The module itself keeps its state in attributes; the submodules that take it are named."""
    arguments = ["import", f"{DATA / 'silero_vad.jit'}", "--name", "vad", "--quiet"]
    for flags in ([], ["--input", f"x:float32:batch,{NEW}", *RATED]):
        assert main([*arguments, *flags, "--model-repository", f"{tmp_path}"]) == 1
        said = capsys.readouterr().err
        assert "_context" in said
        assert "_state" in said
        assert "--submodule _model or --submodule _model_8k" in said
