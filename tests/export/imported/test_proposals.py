"""Doubts that stay open until each is answered, and proposals that names bear out."""

import shlex
from pathlib import Path

import pytest

from tests.export.imported.advice import first_advice, follow, reason, way_out
from tests.export.imported.foreign.cells import beside_a_version, cells, decoder, fours
from tests.export.imported.foreign.doubtful import DOUBTFUL
from tests.export.imported.outcome import Outcome, run_import

# What states are called, and their new values, which the file lists in another order.
PROPOSED = {
    "a letter": {"h": "h_1", "c": "c_1"},
    "a letter and a number": {"h_0": "h_1", "c_0": "c_1"},
    "a letter in front": {"k_buf": "k_new", "v_buf": "v_new"},
    "a word": {"buf_a": "buf_a_out", "buf_b": "buf_b_out"},
    "numbers that begin elsewhere": {"state1": "state2_out", "state2": "state3_out"},
    "numbers alone": {"p": "o1", "q": "o2"},
    "numbers of ends": {"in1": "out1", "in2": "out2", "in3": "out3"},
}


def pairs(outcome: Outcome) -> dict[str, str | None]:
    """Each state and the output that it comes back as."""
    return {each.name: each.output for each in outcome.artifact.manifest.spec.states}


@pytest.mark.parametrize("name", PROPOSED)
def test_names_come_before_the_order_of_the_file(tmp_path: Path, name: str) -> None:
    """And one refusal names every flag that is needed."""
    states = PROPOSED[name]
    data = cells(states, order=list(states.values())[::-1])
    followed = follow(tmp_path, data, rounds=1)
    assert pairs(followed.outcome) == states
    assert {each.name for each in followed.outcome.artifact.manifest.spec.sent_inputs} == {"x"}


def test_candidates_are_told_by_what_they_are_made_of(tmp_path: Path) -> None:
    """So that who reads the refusal knows what each pair would mean; the likelier comes first."""
    states = {"p": "later", "q": "mul_7"}
    found = run_import(tmp_path, cells(states, order=["mul_7", "later"]))
    assert found.code == 1
    assert "p from mul_7, later; q from mul_7, later" in reason(found.said)
    assert "mul_7 is made of x and p and q; later is made of x and p" in reason(found.said)
    assert "--state q=mul_7" in way_out(found.said)


def test_numbers_of_different_words_are_no_order(tmp_path: Path) -> None:
    """What an exporter called after operators comes as the file has it."""
    states = {"h": "mul_109", "c": "add_77"}
    assert pairs(follow(tmp_path, cells(states), rounds=1).outcome) == states


def test_what_is_sent_is_not_proposed_as_a_state(tmp_path: Path) -> None:
    """A frame beside the one before it: the other is called as an old value."""
    followed = follow(tmp_path, cells({"prev_frame": "last_frame"}, sent="frame"), rounds=1)
    assert pairs(followed.outcome) == {"prev_frame": "last_frame"}


@pytest.mark.parametrize("first", ["k_buf=k_new", "v_buf=v_new"])
def test_one_answer_leaves_the_other_doubts_open(tmp_path: Path, first: str) -> None:
    """What was asked for is not sent by accident because something else was said."""
    data = cells({"k_buf": "k_new", "v_buf": "v_new"})
    found = run_import(tmp_path, data, "--state", first)
    assert found.code == 1
    (flag, other) = first_advice(found.said)
    assert (flag, {first, other}) == ("--state", {"k_buf=k_new", "v_buf=v_new"})
    said = run_import(tmp_path, data, "--state", "k_buf=k_new", "--sent", "v_buf")
    assert pairs(said) == {"k_buf": "k_new"}


def test_what_was_said_of_a_state_is_to_be_taken_back(tmp_path: Path) -> None:
    """Not to be said beside its contrary."""
    data = DOUBTFUL["a state that changes nothing"].make()
    found = run_import(tmp_path, data, "--state", "state=state_out")
    assert found.code == 1
    assert "in place of the pair that was said, say --sent state" in way_out(found.said)


@pytest.mark.parametrize("state", [False, True])
def test_rows_are_not_blamed_for_a_length(tmp_path: Path, state: bool) -> None:
    """A file of four steps at a time runs with many rows, and says at which sizes."""
    for flags in ((), ("--no-batch",)):
        found = run_import(tmp_path, fours(state=state), *flags)
        assert found.code == 1, found.said
        assert "one row only" not in found.said
        assert "--no-batch" not in found.said
        assert "it ran at 4, 8, 16" in reason(found.said)


def test_what_an_encoder_gave_is_proposed_to_be_fixed(tmp_path: Path) -> None:
    """A decoder's steps are over one memory, which is set when a session opens."""
    found = run_import(tmp_path, decoder())
    advice = ("--fixed", "memory", "--input", "memory:float32:batch,1,4")
    assert first_advice(found.said) == advice
    fixed = run_import(tmp_path, decoder(), "--fixed", "memory", "--input", advice[3])
    assert pairs(fixed) == {"memory": None, "h": "h_out"}
    assert "together are not the whole sequence" not in fixed.said


def test_flags_are_quoted_for_a_shell(tmp_path: Path) -> None:
    """Names with spaces in them, as converters leave them."""
    data = cells({"left hand": "left hand out", "right hand": "right hand out"})
    words = shlex.split(way_out(run_import(tmp_path, data).said).partition(",")[0])
    states = {"left hand=left hand out", "right hand=right hand out"}
    assert {*words[2:]} == {"--state", *states}


def test_an_output_that_never_varies_is_named_for_what_it_costs(tmp_path: Path) -> None:
    """Rows run one by one for its sake, beside the flag that has them share runs."""
    found = run_import(tmp_path, beside_a_version())
    if found.code == 0:
        assert "one row at a time: the output version has no batch axis of its own" in found.said
    assert "for rows to share runs: --output y" in found.said
    assert run_import(
        tmp_path, beside_a_version(), "--output", "y"
    ).artifact.manifest.spec.has_batch


def test_a_rate_is_proposed_as_a_constant(tmp_path: Path) -> None:
    """A number without axes, which every row would have to share."""
    found = run_import(tmp_path, beside_a_version(rate=True))
    assert "--constant sr=VALUE" in found.said
    said = run_import(tmp_path, beside_a_version(rate=True), "--constant", "sr=2")
    assert said.artifact.manifest.spec.has_batch
