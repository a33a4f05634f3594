"""What a module raises by itself is no traceback: it is served at what it takes, or refused."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import tests.export.cases.raisers as raisers
from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError, ExportRefused
from tests.harness.export_run import proven
from tests.harness.export_served import alone, attempt, whole

X = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1


def _right(made: Proven, module: nn.Module, *given: torch.Tensor) -> None:
    """Every program on `given` beside the original, of one row where it takes but one; what has
    one length only is a window, whose state goes nowhere.
    """
    spec = made.manifest.spec
    if not spec.has_time:
        assert spec.streaming == "none"
    with torch.no_grad():
        expected = module.eval()(*given)
    expected = expected[0] if isinstance(expected, tuple) else expected
    if not spec.has_batch and spec.sent_inputs[0].axes[0] == 1:
        given, expected = tuple(each[:1] for each in given), expected[:1]
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, *given), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [raisers.Attached, raisers.AttachedInside, raisers.AttachedOddly])
def test_properties_that_raise_are_left_alone(make: Callable[[], nn.Module]) -> None:
    """A LightningModule from a checkpoint is exported as it is."""
    torch.manual_seed(2)
    module = make()
    made = proven(module, X)
    assert made.manifest.spec.streaming == "step"
    assert set(made.manifest.programs) == {"onnx", "torchscript"}
    x = torch.randn(2, 9, 6)
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, x), alone(module, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "make", [raisers.AtMostTwenty, raisers.AtLeastThree, raisers.Range]
)  # fmt: skip
def test_what_the_module_asserts_of_its_input_is_respected(make: Callable[[], nn.Module]) -> None:
    """Sizes and values that it does not take are not held against it: all else is right."""
    torch.manual_seed(2)
    module = make()
    made = proven(module, X)
    assert made.manifest.spec.has_batch
    assert made.manifest.spec.has_time
    for batch, steps in ((4, 5), (1, 3), (2, 11)):
        x = torch.rand(batch, steps, 6) * 2 - 1
        for kind in made.manifest.programs:
            torch.testing.assert_close(whole(made, kind, x), alone(module, x), atol=1e-5, rtol=1e-5)


def test_a_bare_assert_is_told_as_the_user_s_own() -> None:
    """It has no text: the sizes at which it was met are listed, and no blank reason."""
    notes = proven(raisers.AtMostTwenty(), X).manifest.parity.skipped
    assert any("T=100" in note and "AssertionError" in note for note in notes)


@pytest.mark.parametrize("steps", [8, 12])
def test_lengths_that_must_divide_are_found_or_told(steps: int) -> None:
    """Served at lengths that it takes, or refused in its own words."""
    torch.manual_seed(2)
    module = raisers.Divisible()
    x = torch.randn(4, steps, 6)
    made = attempt(module, (x,))
    if isinstance(made, ExportError):
        assert "divisible by 4" in str(made)
        return
    _right(made, module, x)
    assert made.manifest.spec.streaming == "none"
    told = (*made.manifest.parity.skipped, made.manifest.spec.streaming_reason or "")
    assert any("divisible by 4" in note for note in told)


@pytest.mark.parametrize("lengths", [(5, 3, 2, 4), (5, 5, 5, 5), (1, 5, 1, 1)])
def test_lengths_are_drawn_from_what_the_example_allows(lengths: tuple[int, ...]) -> None:
    """Never 0, never beyond T: a module that packs and asserts so is served and streams."""
    torch.manual_seed(2)
    module = raisers.Packs()
    made = proven(module, X, torch.tensor(lengths))
    spec = made.manifest.spec
    assert [each.name for each in spec.inputs] == ["x"]
    assert spec.streaming == "step"
    x = torch.randn(2, 9, 6)
    expected = alone(module, x, torch.tensor([9, 9]))
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [raisers.Gathers, raisers.GathersLongest, raisers.Masks])
@pytest.mark.parametrize("lengths", [(5, 3, 2, 4), (5, 5, 5, 5)])
def test_lengths_that_are_read_and_asserted_never_break_an_export(
    make: Callable[[], nn.Module], lengths: tuple[int, ...]
) -> None:
    """They are an input like others: right where taken, or refused by their name. Whatever state
    the random generators of the caller are in.
    """
    for seed in range(4):
        torch.manual_seed(seed)
        module = make()
        made = attempt(module, (X, torch.tensor(lengths)))
        if isinstance(made, ExportError):
            assert re.search("lengths|no row is as long|takes values of its inputs", str(made))
            continue
        _right(made, module, torch.randn(4, 5, 6), torch.tensor([5, 2, 1, 3]))
        if made.manifest.spec.has_time:
            _right(made, module, torch.randn(4, 9, 6), torch.tensor([9, 2, 1, 3]))


def test_an_export_says_the_same_whatever_was_drawn_before_it() -> None:
    """The generators of the caller decide nothing: they are not even read."""
    torch.manual_seed(2)
    module = raisers.Gathers()
    said = set()
    for seed in range(4):
        torch.manual_seed(seed)
        made = attempt(module, (X, torch.tensor([5, 5, 5, 5])))
        said.add(str(made) if isinstance(made, ExportError) else str(made.manifest.spec))
    assert len(said) == 1


@pytest.mark.parametrize("kind", raisers.RAISED)
def test_what_is_raised_on_the_example_is_passed_on(kind: str) -> None:
    """By its type, whatever it says or does not say."""
    with pytest.raises(ExportRefused, match=f"forward fails on the example: {kind}") as refused:
        proven(raisers.Raises(kind, "always"), X)
    assert "Way out: " in str(refused.value)


@pytest.mark.parametrize("when", [each for each in raisers.WHEN if each != "always"])
@pytest.mark.parametrize("kind", ["KeyError", "StopIteration", "Odd", "AssertionError"])
def test_what_is_raised_at_other_sizes_is_no_end(kind: str, when: str) -> None:
    """The example's own size is served right, or the refusal names what was raised."""
    torch.manual_seed(2)
    module = raisers.Raises(kind, when)
    made = attempt(module, (X,))
    if isinstance(made, ExportError):
        assert kind in str(made)
        return
    _right(made, module, torch.randn(4, 5, 6))
    told = (*made.manifest.parity.skipped, made.manifest.spec.streaming_reason or "")
    assert any(kind in each for each in told)


@pytest.mark.parametrize("make", [raisers.LastSix, raisers.LastSixForecast])
@pytest.mark.parametrize("steps", [4, 6, 9])
def test_a_slice_that_short_inputs_do_not_fill_is_told(
    make: Callable[[], nn.Module], steps: int
) -> None:
    """Refused with both sizes and the slice, or served at lengths that fill it."""
    torch.manual_seed(2)
    module = make()
    x = torch.randn(4, steps, 6)
    made: Any = attempt(module, (x,))
    if isinstance(made, ExportError):
        assert isinstance(made, ExportRefused)
        assert "output" in made.reason
        assert "axis" in str(made) or "step" in str(made)
        return
    for length in (steps, 6, 11):
        _right(made, module, torch.randn(4, length, 6))


def test_attributes_from_a_configuration_are_left_alone() -> None:
    """A `__getattr__` that raises KeyError is nobody's business."""
    torch.manual_seed(2)
    assert proven(raisers.Configured(), X).manifest.spec.streaming == "step"


def test_what_no_runtime_can_do_is_refused_in_a_sentence() -> None:
    """Half numbers by autocast: served where that is near enough, or refused."""
    torch.manual_seed(2)
    made = attempt(raisers.Autocast(), (X,))
    if isinstance(made, ExportError):
        assert isinstance(made, ExportRefused)
        assert "[ONNXRuntimeError]" not in str(made)
