"""TorchScript files as odd as TorchScript allows: one clear message, and a traceback never."""

import re
from pathlib import Path

import pytest

from carousel.service.engine.loaded_model import LoadOptions, load_model
from tests.export.imported.advice import check_words, follow, refusal
from tests.export.imported.foreign.odd_scripts import SCRIPTS
from tests.export.imported.outcome import run_import

X = ("--input", "x:float32:batch,4")
H = ("--input", "h:float32:batch,4")


@pytest.mark.parametrize("flags", [(), X, (*X, *H), (*X, *H, "--no-batch")], ids=" ".join)
@pytest.mark.parametrize("name", SCRIPTS)
def test_an_odd_script_ends_in_a_clear_word(
    tmp_path: Path, name: str, flags: tuple[str, ...]
) -> None:
    """Exit code 0, 1 or 3; what was imported the service loads."""
    outcome = run_import(tmp_path, SCRIPTS[name](), *flags)
    assert outcome.code in (0, 1, 3)
    check_words(outcome)
    if outcome.code == 0:
        load_model(outcome.artifact, LoadOptions())


@pytest.mark.parametrize(
    ("name", "words"),
    [("Refuses", "seven were agreed"), ("Complex", "output"), ("Empty", "output_1")],
)
def test_what_its_author_said_is_passed_on(tmp_path: Path, name: str, words: str) -> None:
    """The author's own words, or the output that is odd, stand in the reason."""
    outcome = run_import(tmp_path, SCRIPTS[name](), *X)
    assert outcome.code == 1, outcome.said
    assert words in refusal(outcome.said)


def test_a_size_that_its_author_refuses_is_no_fault(tmp_path: Path) -> None:
    """More rows than were foreseen are not accepted, and all else is served."""
    outcome = run_import(tmp_path, SCRIPTS["Asserts"](), *X, *H, "--state", "h=output_1")
    assert outcome.artifact.manifest.spec.has_batch


def test_a_state_that_may_be_left_out_is_a_state(tmp_path: Path) -> None:
    """Its shape is asked for with the flag that gives it, as that of any other."""
    outcome = run_import(tmp_path, SCRIPTS["Perhaps"](), *X)
    if outcome.code != 0:
        assert "--input" in refusal(outcome.said)
        assert re.search(r"\bh\b", refusal(outcome.said))
    given = run_import(tmp_path, SCRIPTS["Perhaps"](), *X, *H, "--state", "h=output_1")
    assert {each.name for each in given.artifact.manifest.spec.states} == {"h"}


def test_the_state_of_a_script_is_not_its_answer(tmp_path: Path) -> None:
    """output_0 comes first and is the answer; what is advised is the other."""
    followed = follow(tmp_path, SCRIPTS["Asserts"](), *X, *H)
    states = followed.outcome.artifact.manifest.spec.states
    assert {each.name: each.output for each in states} == {"h": "output_1"}
