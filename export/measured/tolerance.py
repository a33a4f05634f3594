"""How far apart two answers may be, and how far apart they are.

| what is compared | `relative` of |
| --- | --- |
| a program beside the original | the largest value, or 1 if that is less |
| chunks, frames, a row alone | the same; the largest value where that is below 1e-3 |
| the same part of two runs of one shape | the largest value, however small |

Where that is missed, the arithmetic itself is asked. The original's run in float64 says how far its
float32 run is off, and the program may be four times as far off the same. A program's row among
copies of itself says what its own rounding is, and a row among others, or in chunks, may be off
four times that. Never is more than `ceiling` allowed, and a tolerance that the caller asked for is
not widened.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import torch

from carousel.models.spec import ModelSpec

Tensors = dict[str, torch.Tensor]

TOLERANCE = 1e-5
CEILING = 1e-4
HALF_TOLERANCE = 2.0**-9  # two units in the last place of a float16
_TIMES_ROUNDING = 4
_SMALL = 1e-3  # the largest value of a tensor that the usual bound says too little of
_HEADROOM = 8 * torch.finfo(torch.float32).eps  # of numbers near one that cancel each other


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest absolute error and its bound, relative for large values. NaN never passes."""

    error: float
    bound: float
    relative: float = 0.0

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


@dataclass(frozen=True, slots=True)
class Off:
    """How far a tensor is off by rounding alone, and what it would be without any, if known."""

    error: float
    exact: torch.Tensor | None = None


Rounding = Callable[[], Mapping[str, Off]]

NONE = Difference(0.0, TOLERANCE, TOLERANCE)
FAR = Difference(float("inf"), 0.0)


class Scale(Enum):
    """What an error is measured by: see the table at the head of this file."""

    USUAL = 1
    SMALL = 2
    ALIKE = 3


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The largest error in proportion to the largest value, and what rounding may widen it to."""

    relative: float = TOLERANCE
    ceiling: float = CEILING

    @classmethod
    def of(cls, spec: ModelSpec, asked: float | None = None) -> "Tolerance":
        """What the caller asked for, or what the dtypes of a model allow."""
        if asked is not None:
            return cls(asked, asked)
        tensors = (*spec.inputs, *spec.outputs, *spec.states)
        half = any(each.dtype == "float16" for each in tensors)
        return HALF if half else USUAL

    def bound(self, peak: float, scale: Scale = Scale.USUAL) -> float:
        """What a tensor may be off whose largest value is `peak`."""
        if scale is Scale.SMALL and peak < _SMALL and self.relative <= TOLERANCE:
            return self.relative * peak + _HEADROOM
        return self.relative * (peak if scale is Scale.ALIKE else max(1.0, peak))

    def difference(
        self, expected: torch.Tensor, actual: torch.Tensor, scale: Scale = Scale.USUAL
    ) -> Difference:
        """Compare two tensors of one shape and dtype; anything else, and NaN, is infinitely far.

        Integers and booleans must be equal. Infinities and NaN in `expected` must stand in
        `actual`.
        """
        if expected.shape != actual.shape or expected.dtype != actual.dtype:
            return FAR
        if expected.numel() == 0:
            return NONE
        if not expected.is_floating_point():
            return Difference(0.0 if torch.equal(expected, actual) else float("inf"), 0.0)
        reference, found = expected, actual
        finite = torch.isfinite(expected)
        if not bool(finite.all()):
            if not torch.allclose(expected[~finite], actual[~finite], equal_nan=True):
                return FAR
            reference, found = expected[finite], actual[finite]
            if reference.numel() == 0:
                return NONE
        peak = reference.abs().max().item()
        return _told(_furthest(reference, found), self.bound(peak, scale), peak)

    def compare(
        self,
        expected: Tensors,
        actual: Tensors,
        scale: Scale = Scale.USUAL,
        roundings: Sequence[Rounding] = (),
    ) -> Difference:
        """The worst of the tensors of one name; `roundings` are asked only where they decide."""
        found = {
            name: self.difference(each, actual[name], scale) for name, each in expected.items()
        }
        for rounding in roundings:
            missed = [name for name, each in found.items() if _may_be_rounding(each)]
            offs = rounding() if missed else {}
            for name in missed:
                if name in offs:
                    found[name] = self._rounded(
                        found[name], expected[name], actual[name], offs[name]
                    )
        return worst(list(found.values()))

    def _rounded(
        self, missed: Difference, expected: torch.Tensor, actual: torch.Tensor, off: Off
    ) -> Difference:
        """The comparison by what rounding allows, if that is met."""
        finite = torch.isfinite(expected)
        reference = (expected if off.exact is None else off.exact)[finite].double()
        peak = expected[finite].abs().max().item()
        bound = min(_TIMES_ROUNDING * off.error, self.ceiling * max(1.0, peak))
        found = _told(_furthest(reference, actual[finite]), bound, peak)
        return found if found.passes else missed


def _may_be_rounding(found: Difference) -> bool:
    return not found.passes and found.error != float("inf") and found.bound > 0


def _furthest(reference: torch.Tensor, actual: torch.Tensor) -> float:
    error = (reference.double() - actual.double()).abs().max().item()
    return error if error == error else float("inf")


def _told(error: float, bound: float, peak: float) -> Difference:
    return Difference(error, bound, bound / max(1.0, peak))


USUAL = Tolerance()
HALF = Tolerance(HALF_TOLERANCE, HALF_TOLERANCE)


def difference(expected: torch.Tensor, actual: torch.Tensor) -> Difference:
    """Two tensors by the usual tolerance."""
    return USUAL.difference(expected, actual)


def worst(differences: list[Difference]) -> Difference:
    """The one that uses up most of its bound."""
    return max(differences, key=lambda each: each.ratio, default=NONE)


def largest(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> float:
    """The largest difference of numbers, infinite where shapes or what is not finite differ."""
    errors = [0.0]
    for name, wanted in expected.items():
        exact = wanted if wanted.is_floating_point() else wanted.double()
        actual = found[name]
        errors.append(
            difference(exact, actual if actual.is_floating_point() else actual.double()).error
        )
    return max(errors)
