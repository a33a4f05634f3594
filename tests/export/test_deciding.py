"""Decisions by values inside of TorchScript are seen as those in Python are."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import tests.export.cases.deciding as deciding
from carousel.export.artifact.record import Proven
from carousel.export.errors import ExportRefused
from tests.export.cases.upheld import upheld
from tests.harness.export_run import proven_by
from tests.harness.export_served import attempt

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]

X = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("function", ["reset_at_mark", "reset_at_padding", "as_often"])
def test_a_cell_that_decides_is_refused_by_its_line(function: str) -> None:
    """A mark in one session would count for all that share its batch."""
    with pytest.raises(ExportRefused, match=rf"deciding\.py:\d+ \({function}\)"):
        proven_by(deciding.Steps(getattr(deciding, function)), (X,))


@pytest.mark.parametrize("function", ["until", "hold_off", "loudest"])
def test_a_loop_that_keeps_what_it_decided_is_refused(function: str) -> None:
    """A number or a flag of Python's, set by values, is a state that no tensor holds."""
    with pytest.raises(ExportRefused, match="values of its inputs"):
        proven_by(deciding.Loop(getattr(deciding, function)), (X,))


@pytest.mark.parametrize(
    ("make", "given"),
    [
        (lambda: deciding.Steps(deciding.late_tensor), (X,)),
        (lambda: deciding.Steps(deciding.recorded()), (X,)),
        (deciding.ByModule, (X,)),
        (lambda: deciding.scripted(deciding.Layer()), (X, torch.randn(2, 6))),
    ],
    ids=["written into", "recorded", "module", "whole script"],
)
def test_what_decides_for_all_rows_is_refused(
    make: Callable[[], nn.Module], given: tuple[Tensor, ...]
) -> None:
    """Also where no Python is left to look at."""
    assert isinstance(attempt(make(), given), ExportRefused)


@pytest.mark.parametrize("function", ["guarded", "sized"])
def test_guards_and_sizes_are_no_decisions(function: str) -> None:
    """They are streamed as ever, and right."""
    x = torch.randn(3, 20, 4, generator=torch.Generator().manual_seed(1))
    made = upheld(deciding.Steps(getattr(deciding, function)), (X,), x)
    assert isinstance(made, Proven)
    assert made.manifest.spec.streaming == "step"


def test_a_loop_that_couples_rows_is_streamed_as_they_are() -> None:
    """With the rows of the example, and not held at its length."""
    made = upheld(deciding.Loop(deciding.clips), (X,), torch.randn(2, 30, 4))
    assert isinstance(made, Proven)
    assert (made.manifest.spec.streaming, made.manifest.spec.has_batch) == ("step", False)
