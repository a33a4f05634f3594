"""What belongs to a whole sequence is held to sequences of many lengths."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from carousel.export.artifact.record import Proven
from tests.export.cases import forgetful
from tests.export.cases.upheld import upheld
from tests.harness.export_served import attempt

EXAMPLE = (torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0)),)


@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (forgetful.At150, 152),
        (forgetful.Every1500, 1502),
        (forgetful.AtProduct, 325),
        (lambda: forgetful.Layer(forgetful.gap), 152),
        (lambda: forgetful.Layer(forgetful.gap_of_long), 152),
        (forgetful.Blocks, 1502),
        (forgetful.Between, 152),
    ],
    ids=["once", "at times", "product", "gap", "gap of long ones", "blocks", "some lengths"],
)
def test_what_is_soon_forgotten_is_seen(make: Callable[[], nn.Module], steps: int) -> None:
    """It is refused, or right just after it too; a thousand steps later it would not show."""
    torch.manual_seed(0)
    x = torch.randn(2, steps, 4, generator=torch.Generator().manual_seed(1))
    upheld(make(), EXAMPLE, x)


@pytest.mark.parametrize(
    "make",
    [forgetful.Last, lambda: forgetful.Layer(lambda x: x)],
    ids=["loop", "layer"],
)
def test_what_does_nothing_late_is_streamed(make: Callable[[], nn.Module]) -> None:
    """The same modules without it."""
    made = attempt(make().eval(), EXAMPLE)
    assert isinstance(made, Proven)
    assert made.manifest.spec.streaming == "last"
