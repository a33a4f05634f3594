"""How far apart two answers may be: the exporter's bound, wider where a model keeps half floats."""

from collections.abc import Mapping, Sequence

import torch

from carousel.export.compare import TOLERANCE, Difference, difference, worst
from carousel.export.programs import Tensors
from carousel.models.spec import ModelSpec

# Two units in the last place of a float16, relative to the largest value.
HALF_TOLERANCE = 2.0**-9


def tolerance(spec: ModelSpec) -> float:
    """The tolerance of a model, relative to the largest value of a tensor."""
    tensors = (*spec.inputs, *spec.outputs, *spec.states)
    return HALF_TOLERANCE if any(each.dtype == "float16" for each in tensors) else TOLERANCE


def compare(spec: ModelSpec, expected: Sequence[Tensors], found: Sequence[Tensors]) -> Difference:
    """The worst difference among tensors of one name."""
    return worst(
        [
            _scaled(difference(wanted[name], actual[name]), tolerance(spec))
            for wanted, actual in zip(expected, found, strict=True)
            for name in wanted
        ]
    )


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


def _scaled(found: Difference, allowed: float) -> Difference:
    return Difference(found.error, found.bound * (allowed / TOLERANCE))
