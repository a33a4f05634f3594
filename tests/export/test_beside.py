"""What forward keeps beside layers and cells of torch is a state, however late it counts."""

import pytest
import torch
from torch import nn

from carousel.export.artifact.record import Proven
from tests.export.cases import beside
from tests.export.cases.upheld import upheld

EXAMPLE = (torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0)),)


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        (beside.Active, 2520),
        (beside.ActiveFloats, 2520),
        (beside.Worn, 2520),
        (beside.WornByHand, 2520),
        (beside.ActiveLayer, 720),
    ],
)
def test_what_is_counted_beside_a_cell_is_a_state(kind: type[nn.Module], steps: int) -> None:
    """Only half of the steps of a proof are active, so that none comes to where it counts."""
    torch.manual_seed(0)
    x = torch.randn(2, steps, 4, generator=torch.Generator().manual_seed(1)).abs()
    made = upheld(kind(), EXAMPLE, x)
    assert isinstance(made, Proven)
    assert made.manifest.spec.streaming == "step"
    assert len(made.manifest.spec.states) == 2


def test_a_cell_that_is_held_at_times_keeps_its_own_states_alone() -> None:
    """As it was before."""
    torch.manual_seed(0)
    x = torch.randn(3, 30, 4, generator=torch.Generator().manual_seed(1))
    made = upheld(beside.Held(), EXAMPLE, x)
    assert isinstance(made, Proven)
    assert [each.name for each in made.manifest.spec.states] == ["h", "c"]
