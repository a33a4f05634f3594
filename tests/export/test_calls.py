"""However `forward` is called, and whatever stands in it, an export ends well or with a reason."""

from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable, Mapping

import pytest
import torch
from torch import nn

import tests.export.cases.calls as calls
from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportError, InvalidRequest
from tests.harness.export_run import proven_by
from tests.harness.export_served import alone, attempt, whole

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))
GAIN = torch.rand(4, 1, generator=torch.Generator().manual_seed(2)) + 0.5
BOTH = {"x": X, "gain": GAIN}

CALLS: dict[str, tuple[Callable[[], nn.Module], object, tuple[str, ...]]] = {
    "dict": (calls.ByDict, (BOTH,), ("batch.x", "batch.gain")),
    "ordered dict": (calls.ByDict, (OrderedDict(BOTH),), ("batch.x", "batch.gain")),
    "default dict": (calls.ByDict, (defaultdict(lambda: GAIN, BOTH),), ("batch.x", "batch.gain")),
    "user dict": (calls.ByDict, (UserDict(BOTH),), ("batch.x", "batch.gain")),
    "keywords": (calls.ByKeywords, BOTH, ("x", "gain")),
    "position and keyword": (calls.ByBoth, BOTH, ("x", "gain")),
    "any number": (calls.ByOrder, (X, GAIN), ()),
}


@pytest.mark.parametrize("case", CALLS)
def test_mappings_and_keywords_are_inputs(case: str) -> None:
    """Each tensor under its key, whatever kind of mapping it comes in."""
    make, example, names = CALLS[case]
    torch.manual_seed(3)
    module = make()
    assert isinstance(module, calls.Calls)
    made = proven_by(module, example)
    spec = made.manifest.spec
    found = tuple(each.name.removeprefix("kwargs.") for each in spec.sent_inputs)
    assert found == (names or found)
    assert len(found) == 2
    assert (spec.streaming, spec.has_batch) == ("step", True)
    x, gain = torch.randn(3, 7, 6), torch.rand(3, 1)
    with torch.no_grad():
        expected = module.both(x, gain)
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, x, gain), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("example", [BOTH, {"batch": X}, {"batch": {"x": X}}])
def test_a_mapping_that_does_not_fit_is_told(example: Mapping[str, object]) -> None:
    """Keywords for one mapping, a tensor in its place, a key that lacks: no traceback."""
    refused = attempt(calls.ByDict(), example)
    assert isinstance(refused, ExportError)
    assert isinstance(refused, InvalidRequest) or "forward fails on the example" in str(refused)


def _right(made: Proven, module: nn.Module) -> None:
    for batch, steps in ((1, 1), (3, 7), (2, 30)):
        x = torch.randn(batch, steps, 6, generator=torch.Generator().manual_seed(steps))
        for kind in made.manifest.programs:
            torch.testing.assert_close(whole(made, kind, x), alone(module, x), atol=1e-5, rtol=1e-5)


def test_a_function_with_its_own_gradient_is_served_or_named() -> None:
    """Straight-through rounding in eval mode."""
    torch.manual_seed(3)
    module = calls.Quantises()
    made = attempt(module, (X,))
    if isinstance(made, ExportError):
        assert "Rounds" in str(made) or "autograd.Function" in str(made)
        return
    assert made.manifest.spec.streaming == "step"
    _right(made, module)


def test_a_parallel_scan_is_served_or_named() -> None:
    """Its loop doubles with the length: a trace holds one length only, a frame is a frame."""
    torch.manual_seed(3)
    module = calls.Scans()
    made = attempt(module, (X, torch.zeros(4, 8)))
    if isinstance(made, ExportError):
        assert "Scan" in str(made) or "autograd.Function" in str(made) or "loop" in str(made)
        return
    x, h = torch.randn(3, 9, 6), torch.randn(3, 8)
    with torch.no_grad():
        expected = module(x, h)[0]
    for kind in made.manifest.programs:
        found = whole(made, kind, x, states={"h": h})
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_hidden_scan_is_never_served_wrong() -> None:
    """No state is to be seen: at the example's length, or refused by a reason."""
    torch.manual_seed(3)
    module = calls.ScansHidden()
    made = attempt(module, (X,))
    if isinstance(made, ExportError):
        assert "Way out: " in str(made)
        return
    assert made.manifest.spec.streaming == "none"
    x = torch.randn(3, 5, 6)
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, x), alone(module, x), atol=1e-5, rtol=1e-5)


def test_parts_that_are_scripts_run_as_they_are() -> None:
    """Without a recurrent layer inside they have nothing to hide; or they are refused by name."""
    torch.manual_seed(3)
    module = calls.Scripted()
    made = attempt(module, (X,))
    if isinstance(made, ExportError):
        assert "front" in str(made) or "swish" in str(made)
        return
    assert made.manifest.spec.streaming == "step"
    _right(made, module)
