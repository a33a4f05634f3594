"""What an open axis is called decides nothing: one graph has one verdict, whatever its names."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from carousel.models.spec import Axis
from tests.export.imported.advice import way_out
from tests.export.imported.foreign.axes import NAMES, PAIRS, with_axes
from tests.export.imported.foreign.doubtful import DOUBTFUL
from tests.export.imported.foreign.strides import longer, rounded_up, with_state
from tests.export.imported.outcome import Outcome, run_import

# What running each file shows, by hand.
ONE_NAME: Mapping[str, Mapping[str, tuple[Axis, ...]]] = {
    "convolved windows": {"x": ("batch", 4, 7), "y": ("batch", 7, 6), "h": (1, "batch", 6)},
    "one row": {"x": (1, "time", 4), "y": (1, "time", 6), "h": (1, 1, 6)},
    "frames": {"x": ("batch", 4), "y": ("batch", 6), "h": ("batch", 6)},
}
TWO_NAMES: Mapping[str, Mapping[str, tuple[Axis, ...]]] = {
    "rows": {"x": ("batch", "time", 4), "y": ("batch", "time", 6), "h": (1, "batch", 6)},
    "rows, time first": {
        "x": ("time", "batch", 4),
        "y": ("time", "batch", 6),
        "h": (1, "batch", 6),
    },
    "rows, hidden state": {"x": ("batch", "time", 4), "y": ("batch", "time", 6)},
    "rows, state's own axis": {
        "x": ("batch", "time", 4),
        "y": ("batch", "time", 6),
        "h": (1, "batch", 6),
    },
}

# Files whose steps are open, and who need many of them.
STEPS: Mapping[str, Callable[[], bytes]] = {
    "every step with every other": DOUBTFUL["every step with every other"].make,
    "pooled": lambda: with_state(2),
    "twice as many steps": longer,
    "half the steps, and one": rounded_up,
}


def axes(outcome: Outcome) -> dict[str, tuple[Axis, ...]]:
    """Axes of all that the artifact takes and gives."""
    spec = outcome.artifact.manifest.spec
    return {each.name: each.axes for each in (*spec.inputs, *spec.outputs, *spec.states)}


def verdict(outcome: Outcome) -> object:
    """What was decided: the spec, or the way out of a refusal (its reason may name the axis)."""
    if outcome.code == 0:
        return outcome.artifact.manifest.spec
    return outcome.code, way_out(outcome.said)


def check_held(outcome: Outcome, name: str, place: int) -> None:
    """An open axis that the importer holds at a size is in a note: which, at what, at what cost."""
    notes = [line for line in outcome.said.splitlines() if "note: " in line]
    size = axes(outcome)[name][place]
    held = [line for line in notes if re.search(rf"\b{name}\b.*\b{size}\b", line)]
    assert held, outcome.said
    assert any("step" in line or "whole" in line for line in held), held


@pytest.mark.parametrize("name", NAMES)
def test_one_row_has_one_verdict_whatever_its_axis_is_called(tmp_path: Path, name: str) -> None:
    """A step that hears the next one is no stream: T does not refuse what S accepts."""
    unnamed, named = (tmp_path / each for each in ("unnamed", "named"))
    for folder in (unnamed, named):
        folder.mkdir()
    expected = run_import(unnamed, with_axes("one convolved row", ""))
    found = run_import(named, with_axes("one convolved row", name))
    assert verdict(found) == verdict(expected)


@pytest.mark.parametrize("name", NAMES)
def test_no_axis_is_held_at_a_size_without_a_word(tmp_path: Path, name: str) -> None:
    """Where the file leaves an axis open and the artifact has a size, a note says what it costs."""
    found = run_import(tmp_path, with_axes("one convolved row", name))
    if found.code == 1:
        assert "axis 2 of x" in found.said
        assert "--input x:float32:1,4," in way_out(found.said)
        return
    assert "time" not in axes(found)["x"] or found.artifact.manifest.spec.streaming == "none"
    if "time" not in axes(found)["x"]:
        check_held(found, "x", 2)


@pytest.mark.parametrize("make", STEPS)
def test_no_batch_holds_no_axis_of_steps(tmp_path: Path, make: str) -> None:
    """--no-batch is of rows: a file that runs at every length is not served one step at a time
    because one step is where no chunk can differ.
    """
    found = run_import(tmp_path, STEPS[make](), "--no-batch")
    if found.code == 0 and "time" not in axes(found)["x"]:
        check_held(found, "x", 1)


@pytest.mark.parametrize("size", [1, 7])
def test_a_size_that_is_said_is_taken_whatever_the_axis_is_called(
    tmp_path: Path, size: int
) -> None:
    """The way out of the refusal is open under every name, and leads to the same artifact."""
    specs = []
    for name in ("T", "S", ""):
        folder = tmp_path / f"axis {name}"
        folder.mkdir()
        flag = ("--input", f"x:float32:1,4,{size}")
        specs.append(
            run_import(folder, with_axes("one convolved row", name), *flag).artifact.manifest.spec
        )
    assert specs[0] == specs[1] == specs[2]
    assert specs[0].inputs[0].axes == (1, 4, size)


@pytest.mark.parametrize("file", ONE_NAME)
@pytest.mark.parametrize("name", NAMES)
def test_an_open_axis_is_what_running_shows(tmp_path: Path, file: str, name: str) -> None:
    """Rows that are called time are rows, and time that is called batch is time."""
    assert axes(run_import(tmp_path, with_axes(file, name))) == ONE_NAME[file]


@pytest.mark.parametrize("file", TWO_NAMES)
@pytest.mark.parametrize("names", PAIRS, ids=lambda names: "-".join(names))
def test_two_open_axes_are_what_running_shows(
    tmp_path: Path, file: str, names: tuple[str, str]
) -> None:
    """Names that say the opposite change nothing."""
    found = run_import(tmp_path, with_axes(file, *names))
    assert axes(found) == TWO_NAMES[file]


@pytest.mark.parametrize("names", PAIRS, ids=lambda names: "-".join(names))
def test_two_open_axes_have_one_verdict(tmp_path: Path, names: tuple[str, str]) -> None:
    """Convolved rows are refused, or taken, under every pair of names alike."""
    unnamed, named = (tmp_path / each for each in ("unnamed", "named"))
    for folder in (unnamed, named):
        folder.mkdir()
    expected = run_import(unnamed, with_axes("convolved rows", "", ""))
    found = run_import(named, with_axes("convolved rows", *names))
    assert verdict(found) == verdict(expected)
