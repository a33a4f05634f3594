"""What rare readings show is promised of no example: streams, programs and rows hold to it."""

import pytest
import torch
from torch import Tensor, nn

from tests.export.cases import faults
from tests.export.cases.upheld import upheld


def readings(seed: int) -> Tensor:
    """Of sensors that are never negative but for two steps of what is served."""
    x = torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(seed)).abs() + 0.5
    if seed:
        x[:, 3:5] *= -1
    return x


@pytest.mark.parametrize("kind", faults.FAULTS)
def test_a_fault_that_no_example_has_is_answered_as_eager_does(kind: type[nn.Module]) -> None:
    """Or the module is refused: none needs the future, or mixes sessions, unseen."""
    torch.manual_seed(0)
    upheld(kind(), (readings(0),), readings(1))


def test_a_fault_of_one_session_is_none_of_another() -> None:
    """A program that mixes them is not served."""
    torch.manual_seed(0)
    x = readings(0)
    x[1, 3] *= -1
    assert upheld(faults.OfAnyRow(), (readings(0),), x) is None


@pytest.mark.parametrize("kind", faults.EVENTS)
def test_events_that_no_example_has_are_counted(kind: type[nn.Module]) -> None:
    """Each of them, also where they are booleans."""
    torch.manual_seed(0)
    ids = torch.randint(1, 13, (2, 12), generator=torch.Generator().manual_seed(1))
    events = ids.clone()
    events[:, 3:8] = 57
    upheld(kind(), (ids,), events)


def test_a_flag_that_no_example_has_is_answered_as_eager_does() -> None:
    """Of a feature that is zero in all of them."""
    torch.manual_seed(0)
    x = torch.randn(2, 12, 4, generator=torch.Generator().manual_seed(1))
    x[..., 3] = 0
    flagged = x.clone()
    flagged[:, 3:5, 3] = 1
    upheld(faults.FlagColumn(), (x,), flagged)


def test_words_of_a_table_are_answered_as_eager_does() -> None:
    """However large the vocabulary is."""
    torch.manual_seed(0)
    ids = torch.randint(0, 1000, (2, 12), generator=torch.Generator().manual_seed(1))
    stopped = ids.clone()
    stopped[:, 3:5] = 2200
    upheld(faults.StopWords(), (ids,), stopped)


def test_a_sum_of_bytes_is_no_byte() -> None:
    """As torch sums them."""
    torch.manual_seed(0)
    x = torch.randn(2, 400, 4, generator=torch.Generator().manual_seed(1)).abs()
    made = upheld(faults.ManyBytes(), (x[:, :9],), x)
    assert made is not None
    assert {each.name: each.dtype for each in made.manifest.spec.states}["total"] == "int64"
