"""Files as odd as ONNX allows: imported and servable, or refused in one clear message; a
traceback never, and no word of the runtime's own as it stands.
"""

import re
from pathlib import Path

import pytest

from carousel.service.engine.loaded_model import LoadOptions, load_model
from tests.export.imported.advice import check_words, follow, refusal
from tests.export.imported.foreign.odd import ODD, counting, loop, scan
from tests.export.imported.outcome import run_import


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_ends_in_a_clear_word(tmp_path: Path, name: str) -> None:
    """Exit code 0, 1 or 3; what was imported the service loads."""
    outcome = run_import(tmp_path, ODD[name]())
    assert outcome.code in (0, 1, 3)
    check_words(outcome)
    if outcome.code == 0:
        load_model(outcome.artifact, LoadOptions())
    else:
        assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(
    "flags",
    [("--no-batch",), ("--output", "y"), ("--sent", "x"), ("--input", "x:float32:batch,3")],
    ids=" ".join,
)
def test_an_odd_file_with_a_flag_ends_in_a_clear_word(
    tmp_path: Path, name: str, flags: tuple[str, ...]
) -> None:
    """Whatever is said of it beside."""
    outcome = run_import(tmp_path, ODD[name](), *flags)
    assert outcome.code in (0, 1, 3)
    check_words(outcome)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no input", "no input"),
        ("no output", "no output"),
        ("nothing", "no "),
        ("text alone", "y"),
        ("a list alone", "s"),
        ("an empty axis", "axis 1 of x"),
        ("no rows", "axis 0 of x"),
        ("an empty state", "axis 1 of state"),
        ("a constant too large", "memory"),
        ("an axis too large", "memory"),
        ("an input twice", "x"),
        ("a node twice", "from_x"),
        ("no rank", "--input x:float32:"),
        ("no rank and a state", "--input x:float32:"),
    ],
)
def test_what_is_odd_is_named(tmp_path: Path, name: str, words: str) -> None:
    """The reason is the oddity itself, not what came of it three steps later."""
    outcome = run_import(tmp_path, ODD[name]())
    assert outcome.code == 1, outcome.said
    assert re.search(rf"(?<!\w){re.escape(words)}", refusal(outcome.said)), outcome.said
    for other in ("neither ONNX nor TorchScript", "every input would be a state", "(x.0)"):
        assert other not in outcome.said


@pytest.mark.parametrize("name", ["a list alone", "text alone"])
def test_outputs_that_are_no_tensors_are_the_reason(tmp_path: Path, name: str) -> None:
    """Where nothing else is there to answer with."""
    outcome = run_import(tmp_path, ODD[name]())
    assert "which is not served" in outcome.said


def test_a_file_without_ranks_is_told_them(tmp_path: Path) -> None:
    """Its axes are the caller's to say, and not none at all."""
    flags = ("--input", "x:float32:batch,4", "--input", "h:float32:batch,4")
    spec = run_import(tmp_path, ODD["no rank and a state"](), *flags).artifact.manifest.spec
    assert spec.inputs[0].axes == spec.states[0].axes == ("batch", 4)


@pytest.mark.parametrize("dtype", ["bool", "int64", "int32", "int16"])
def test_states_of_whole_numbers_are_states(tmp_path: Path, dtype: str) -> None:
    """And of truth values."""
    spec = run_import(tmp_path, counting(dtype)).artifact.manifest.spec
    assert {each.name: each.dtype for each in spec.states} == {"state": dtype}


def test_subgraphs_are_recurrent_layers_like_others(tmp_path: Path) -> None:
    """Scan over time streams, and Loop within a frame."""
    for data in (scan(), loop(sent=False)):
        spec = run_import(tmp_path, data).artifact.manifest.spec
        assert (spec.streaming, spec.has_batch) == ("step", True)


def test_what_passes_through_is_no_state(tmp_path: Path) -> None:
    """It changes nothing: refused with the flag that sends it, which works."""
    followed = follow(tmp_path, ODD["a state that passes through"]())
    assert followed.rounds[:1] == (("--sent", "h"),)
    assert followed.outcome.artifact.manifest.spec.states == ()
