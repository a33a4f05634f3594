"""Operators that carry their state themselves are streamed as NumPy computes them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import tests.export.imported.foreign.stateful as foreign
from tests.export.imported.foreign.stateful import Floats
from tests.export.imported.outcome import run_import

UNFINISHED = "ALLOW_RELEASED_ONNX_OPSET_ONLY"


@pytest.mark.parametrize(
    ("make", "expected", "sizes", "time"),
    [
        (foreign.peepholes, foreign.peeped, (9, 2, 3), 0),
        (foreign.convolution, foreign.convolved, (2, 4, 9), 2),
        (foreign.attention, foreign.attended, (2, 9, 8), 1),
    ],
)
def test_their_state_is_found_and_carried(
    make: Callable[[], bytes],
    expected: Callable[..., Floats],
    sizes: tuple[int, ...],
    time: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In pieces of several lengths, from what the session starts with; no flag is needed."""
    monkeypatch.setenv(UNFINISHED, "0")
    artifact = run_import(tmp_path, make()).artifact
    spec = artifact.manifest.spec
    assert spec.streaming == "step"
    assert spec.has_batch
    rng = np.random.default_rng(7)
    inputs = {e.name: rng.standard_normal(sizes).astype(np.float32) for e in spec.inputs}
    program = artifact.manifest.programs["onnx"]
    session = ort.InferenceSession(artifact.folder / program.file)
    rows = 2
    states = {
        e.name: np.zeros([rows if a == "batch" else int(a) for a in e.axes], np.float32)
        for e in spec.states
    }
    names, found = [each.name for each in session.get_outputs()], []
    for start, end in ((0, 1), (1, 5), (5, 9)):
        part = {name: each.take(range(start, end), time) for name, each in inputs.items()}
        answer = dict(zip(names, session.run(None, part | states), strict=True))
        states = {each.name: answer[each.output] for each in spec.states if each.output}
        found.append(answer[spec.outputs[0].name])
    together = np.concatenate(found, time)
    np.testing.assert_allclose(together, expected(*inputs.values()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign.batch_in_front, "layout=1, the batch in front of time"),
        (foreign.attention, f"set {UNFINISHED}=0"),
    ],
)
def test_what_the_runtime_does_not_run_is_told_in_a_sentence(
    make: Callable[[], bytes], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the way out, and not in the runtime's own words."""
    monkeypatch.delenv(UNFINISHED, raising=False)
    outcome = run_import(tmp_path, make())
    assert outcome.code == 1
    assert words in outcome.said
    assert "github" not in outcome.said
