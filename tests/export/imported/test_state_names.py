"""States that are called as people's are, in files of frames: paired by name, proved by running.

Every end has one shape, so that nothing but names can tell them apart.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from carousel.models.artifact import Artifact
from tests.export.imported.advice import follow
from tests.export.imported.foreign.files import Arrays, Foreign
from tests.export.imported.foreign.pairs import NAMES, TWO_NAMES, one_state, two_states, unrelated
from tests.export.imported.outcome import Outcome, run_import

NUM_FRAMES = 5


def pairs(outcome: Outcome) -> dict[str, str | None]:
    """Each state and the output that it comes back as."""
    return {each.name: each.output for each in outcome.artifact.manifest.spec.states}


def foreign(data: bytes, states: dict[str, str]) -> Foreign:
    """The file, its pairs as they are written above the file's nodes."""
    start: Arrays = {name: np.zeros((1, 6), np.float32) for name in states}
    return Foreign("m", data, {"x": ((6,), "float32", 0)}, ("y",), dict(states), start)


def stepped(artifact: Artifact, data: bytes, sequence: Arrays) -> Arrays:
    """The file run frame by frame with the pairs that the artifact names."""
    spec = artifact.manifest.spec
    states = {each.name: each.output or "" for each in spec.states}
    return foreign(data, states).answers(sequence)


@pytest.mark.parametrize(("old", "new"), NAMES)
def test_a_state_is_paired_by_its_name(tmp_path: Path, old: str, new: str) -> None:
    """The answer, though of the state's shape and first in the file, is no candidate."""
    found = run_import(tmp_path, one_state(old, new))
    assert pairs(found) == {old: new}
    spec = found.artifact.manifest.spec
    assert [each.name for each in spec.inputs] == ["x"]
    assert [each.name for each in spec.outputs] == ["y"]
    assert spec.streaming == "step"


@pytest.mark.parametrize(("old", "new"), NAMES)
def test_a_pair_by_name_is_proved(tmp_path: Path, old: str, new: str) -> None:
    """What was measured is said beside the name: the answers when it is not handed on."""
    found = run_import(tmp_path, one_state(old, new))
    assert pairs(found) == {old: new}
    lines = [each for each in found.said.splitlines() if each.split()[:1] == [old]]
    assert "by name" in lines[0]
    assert "not handed on" in lines[0]


@pytest.mark.parametrize(("old", "new"), NAMES)
def test_a_name_does_not_stand_for_a_proof(tmp_path: Path, old: str, new: str) -> None:
    """Handing it on changes nothing: refused, whatever it is called."""
    found = run_import(tmp_path, unrelated(old, new))
    assert found.code == 1
    assert "does not hold" in found.said
    assert f"--sent {old}" in found.said


@pytest.mark.parametrize(("old", "new"), TWO_NAMES)
def test_two_states_of_one_shape_are_paired_by_their_names(
    tmp_path: Path, old: Sequence[str], new: Sequence[str]
) -> None:
    """Not by the order in which the file gives them: it gives the second first."""
    data = two_states(old, new)
    outcome = run_import(tmp_path, data)
    expected = dict(zip(old, new, strict=True))
    assert pairs(outcome) == expected
    sequence = foreign(data, expected).sequence(np.random.default_rng(0), NUM_FRAMES)
    served = stepped(outcome.artifact, data, sequence)["y"]
    assert np.array_equal(served, foreign(data, expected).answers(sequence)["y"])


def test_two_readings_of_a_name_are_asked_for(tmp_path: Path) -> None:
    """memory beside memory_out and next_memory: the flag is named with both, and one of them."""
    found = run_import(tmp_path, two_states(("memory", "p"), ("memory_out", "next_memory")))
    assert found.code == 1
    for way in ("--state memory=memory_out", "--state memory=next_memory"):
        assert way in found.said
    assert "--state x=" not in found.said


@pytest.mark.parametrize("old", ["memory", "context", "past"])
def test_what_is_sent_is_not_kept_for_its_name(tmp_path: Path, old: str) -> None:
    """--sent wins over every name, and the new value is an answer; no advice turns x into it."""
    found = follow(tmp_path, one_state(old, f"{old}_out"), "--sent", old).outcome
    assert pairs(found) == {}
    spec = found.artifact.manifest.spec
    assert {each.name for each in spec.inputs} == {"x", old}
    assert {each.name for each in spec.outputs} == {"y", f"{old}_out"}
