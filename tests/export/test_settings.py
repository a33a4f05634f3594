"""An integer beside a sequence is tried at other values than those of the example."""

import pytest
import torch
from torch import nn

from carousel.export.artifact.record import Proven
from tests.export.cases import settings
from tests.export.cases.upheld import upheld

X = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0))
ONES, FAR = torch.ones(2, dtype=torch.long), torch.tensor([5000, 5020])


@pytest.mark.parametrize(
    ("kind", "example", "given"),
    [
        (settings.Every, ONES, torch.tensor([2, 3])),
        (settings.Quota, FAR, torch.tensor([10, 5000])),
        (settings.Mode, ONES, torch.tensor([2, 1])),
    ],
)
def test_what_other_integers_do_is_refused_or_right(
    kind: type[nn.Module], example: torch.Tensor, given: torch.Tensor
) -> None:
    """Which no example of one value shows."""
    torch.manual_seed(0)
    x = torch.randn(2, 20, 4, generator=torch.Generator().manual_seed(1))
    upheld(kind(), (X, example), x, given)


def test_an_integer_that_does_the_same_at_each_step_is_streamed() -> None:
    """Whatever it is."""
    torch.manual_seed(0)
    x = torch.randn(2, 20, 4, generator=torch.Generator().manual_seed(1))
    made = upheld(settings.Gain(), (X, ONES), x, torch.tensor([2, 1]))
    assert isinstance(made, Proven)
    assert made.manifest.spec.streaming == "step"
