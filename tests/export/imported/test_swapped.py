"""Pairs that names tell and the file itself refutes: what holds is taken, or what refutes is said.

No pair that chunks have refuted is served as frames without a word.
"""

from pathlib import Path

import pytest

from tests.export.imported.advice import first_advice, follow, reason, way_out
from tests.export.imported.foreign.swapped import TRUTH, layer, scan
from tests.export.imported.outcome import Outcome, run_import

ONE = ("--input", "x:float32:1,batch,4")


def pairs(outcome: Outcome) -> dict[str, str | None]:
    """Each state and the output that it comes back as."""
    return {each.name: each.output for each in outcome.artifact.manifest.spec.states}


@pytest.mark.parametrize("time", ["T", 6])
def test_a_layer_is_believed_before_names(tmp_path: Path, time: int | str) -> None:
    """Where it starts and ends stands in the file, over time and in a window of it; it is said."""
    found = run_import(tmp_path, layer(time))
    assert pairs(found) == TRUTH
    assert "by its layer, though names tell state_a_out" in found.said


def test_a_flag_is_believed_before_a_layer(tmp_path: Path) -> None:
    """Whoever says otherwise has it so, where no run can tell."""
    said = ("--state", "state_a=state_a_out", "--state", "state_b=state_b_out")
    assert pairs(run_import(tmp_path, layer(6), *said))["state_a"] == "state_a_out"


def test_the_pairs_that_hold_when_run_are_taken(tmp_path: Path) -> None:
    """Where exactly one way holds, and what names tell does not."""
    found = run_import(tmp_path, scan())
    assert pairs(found) == TRUTH
    assert "names tell other pairs, which do not hold when run: " in found.said


def test_frames_of_one_step_are_held_to_the_sequence(tmp_path: Path) -> None:
    """A size that is said for time does not make refuted pairs true: those that hold are named."""
    found = run_import(tmp_path, scan(), *ONE)
    assert found.code == 1
    assert "state_a=state_a_out, state_b=state_b_out does not hold" in reason(found.said)
    wanted = ("--state", "state_a=state_b_out", "--state", "state_b=state_a_out")
    assert first_advice(found.said) == wanted
    assert pairs(run_import(tmp_path, scan(), *ONE, *wanted)) == TRUTH


def test_what_frames_cost_is_said_where_no_pair_holds(tmp_path: Path) -> None:
    """In the refusal beside the flag, and in the note of who follows it."""
    found = run_import(tmp_path, scan(backwards=True))
    assert found.code == 1
    assert "chunks of it differ from the whole" in reason(found.said)
    assert "answer otherwise than the whole sequence" in way_out(found.said)
    assert "or --sent state_a --sent state_b to send it with each whole" in way_out(found.said)
    followed = follow(tmp_path, scan(backwards=True)).outcome
    assert "note: frames of 1 together are not the whole sequence: " in followed.said


def test_whole_sequences_are_the_other_way_out(tmp_path: Path) -> None:
    """The states are sent with each, and nothing is streamed that is none."""
    sent = ("--sent", "state_a", "--sent", "state_b")
    spec = run_import(tmp_path, scan(backwards=True), *sent).artifact.manifest.spec
    assert spec.states == ()
    assert spec.streaming == "none"


def test_frames_of_several_steps_are_held_to_the_sequence_too(tmp_path: Path) -> None:
    """Six at a time, as six times as many at once."""
    found = run_import(tmp_path, scan(), "--input", "x:float32:6,batch,4")
    assert found.code == 1
    assert "state_a=state_a_out, state_b=state_b_out does not hold" in reason(found.said)
    said = ("--input", "x:float32:6,batch,4", *first_advice(found.said))
    followed = run_import(tmp_path, scan(), *said)
    assert pairs(followed) == TRUTH
    assert "together are not the whole sequence" not in followed.said
