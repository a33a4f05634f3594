"""Rounding that adds up is no fault; what is wrong is not taken for it, beside it or late."""

import pytest
import torch
from torch import nn

import tests.export.cases.drifting as drifting
from carousel.export.artifact.record import Proven
from tests.export.cases.upheld import upheld
from tests.harness.export_served import attempt

EXAMPLE = (torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0)),)


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        (drifting.Timeout, 160),
        (drifting.TimeoutLayer, 160),
        (drifting.Tired, 1200),
        (drifting.PhaseReset, 1520),
        (drifting.OtherOutput, 1520),
        (drifting.BesideLarge, 1520),
        (drifting.WholeLate, 1810),
    ],
)
def test_what_is_no_rounding_is_refused_or_right(kind: type[nn.Module], steps: int) -> None:
    """Beside a number that float32 loses, in one output with it or in another."""
    torch.manual_seed(0)
    x = torch.randn(2, steps, 4, generator=torch.Generator().manual_seed(1))
    upheld(kind(), EXAMPLE, x)


@pytest.mark.parametrize(
    "kind", [drifting.Chaos, drifting.Phase, drifting.SumOfSums, drifting.Timeout]
)
def test_what_is_rounding_is_served(kind: type[nn.Module]) -> None:
    """However far it is off by then, if the original is as well or it came little by little."""
    torch.manual_seed(0)
    made = attempt(kind().eval(), EXAMPLE)
    assert isinstance(made, Proven)
    assert made.manifest.spec.streaming == "step"
