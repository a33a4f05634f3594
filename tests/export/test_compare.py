"""The comparison that every claim rests on: relative, and deaf to no NaN."""

import pytest
import torch

from carousel.export.measured.tolerance import Difference, difference, worst

NAN = float("nan")


def test_equal_tensors_do_not_differ() -> None:
    """No error at all, and a bound of the tolerance."""
    found = difference(torch.ones(3), torch.ones(3))
    assert (found.error, found.bound, found.passes) == (0.0, 1e-5, True)


def test_the_bound_grows_with_the_reference() -> None:
    """A large head may be off by as much as its size earns."""
    assert difference(torch.tensor([2e6]), torch.tensor([2e6 + 1])).passes
    assert not difference(torch.tensor([2.0]), torch.tensor([2.0001])).passes


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (torch.tensor([1.0]), torch.tensor([NAN])),
        (torch.tensor([NAN]), torch.tensor([1.0])),
        (torch.tensor([1.0]), torch.tensor([float("inf")])),
        (torch.tensor([float("-inf")]), torch.tensor([float("inf")])),
        (torch.ones(2), torch.ones(3)),
        (torch.ones(2), torch.ones(2, dtype=torch.float64)),
        (torch.tensor([1]), torch.tensor([2])),
    ],
)
def test_what_is_not_the_same_never_passes(expected: torch.Tensor, actual: torch.Tensor) -> None:
    """NaN for a number, a number for NaN, another shape, dtype or integer: all fail."""
    assert not difference(expected, actual).passes


def test_a_nan_error_fails_by_itself() -> None:
    """The comparison is written so that NaN fails."""
    assert not Difference(NAN, 1e-5).passes


def test_infinities_that_belong_there_pass() -> None:
    """A cache filled with -inf equals itself."""
    cache = torch.tensor([float("-inf"), 1.0])
    assert difference(cache, cache.clone()).passes


def test_the_worst_is_what_uses_up_most_of_its_bound() -> None:
    """Not what has the largest error."""
    near, far = Difference(1.0, 100.0), Difference(0.5, 0.1)
    assert worst([near, far]) is far
