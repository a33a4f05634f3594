"""The distance between what was expected and what came, and the bound it must meet."""

from dataclasses import dataclass

import torch

TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest absolute error and its bound, relative for large values. NaN never passes."""

    error: float
    bound: float

    @property
    def passes(self) -> bool:
        """Whether the error is a number within the bound."""
        return self.error <= self.bound

    @property
    def ratio(self) -> float:
        """How much of the bound is used up; infinite where nothing may differ."""
        if self.bound > 0:
            return self.error / self.bound
        return 0.0 if self.error == 0 else float("inf")


NONE = Difference(0.0, TOLERANCE)


def difference(expected: torch.Tensor, actual: torch.Tensor) -> Difference:
    """Compare two tensors of one shape and dtype; anything else, and NaN, is infinitely far.

    Integers and booleans must be equal. Infinities and NaN in `expected` must stand in `actual`.
    """
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return Difference(float("inf"), TOLERANCE)
    if expected.numel() == 0:
        return NONE
    if not expected.is_floating_point():
        return Difference(0.0 if torch.equal(expected, actual) else float("inf"), 0.0)
    finite = torch.isfinite(expected)
    odd_expected, odd_actual = expected[~finite], actual[~finite]
    if not torch.allclose(odd_expected, odd_actual, equal_nan=True):
        return Difference(float("inf"), TOLERANCE)
    reference = expected[finite].double()
    if reference.numel() == 0:
        return NONE
    error = (reference - actual[finite].double()).abs().max().item()
    bound = TOLERANCE * max(1.0, reference.abs().max().item())
    return Difference(error if error == error else float("inf"), bound)


def worst(differences: list[Difference]) -> Difference:
    """The one that uses up most of its bound."""
    return max(differences, key=lambda each: each.ratio, default=NONE)
