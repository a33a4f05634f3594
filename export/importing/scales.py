"""How far apart two answers may be whose numbers are far below one: measured by their own size.

An absolute bound lets outputs of 1e-6 be anything, the outputs of a stranger among them.
"""

from collections.abc import Sequence

import torch

from carousel.export.compare import TOLERANCE, Difference, difference, worst
from carousel.export.importing.bounds import compare, tolerance
from carousel.export.programs import Tensors
from carousel.models.spec import ModelSpec

_SMALL = 1e-3  # the largest value of a tensor that the usual bound says too little of
_HEADROOM = 8 * torch.finfo(torch.float32).eps  # of numbers near one that cancel each other


def compare_small(
    spec: ModelSpec, expected: Sequence[Tensors], found: Sequence[Tensors]
) -> Difference:
    """`compare`, but small tensors by their own largest value.

    A model in float16 rounds its state at every step, however small its outputs are.
    """
    usual = compare(spec, expected, found)
    if tolerance(spec) > TOLERANCE:
        return usual
    small = [
        Difference(far.error, TOLERANCE * peak + _HEADROOM)
        for far, peak in _differences(expected, found)
        if peak < _SMALL and far.bound > 0
    ]
    return worst([usual, *small])


def compare_alike(
    spec: ModelSpec, expected: Sequence[Tensors], found: Sequence[Tensors]
) -> Difference:
    """The same part of two runs of one shape: it is computed by the same operations in the same
    order, so that no size is too small to tell.
    """
    return worst(
        [
            Difference(far.error, tolerance(spec) * peak if far.bound > 0 else 0.0)
            for far, peak in _differences(expected, found)
        ]
    )


def _differences(
    expected: Sequence[Tensors], found: Sequence[Tensors]
) -> list[tuple[Difference, float]]:
    """How far each tensor is off, and its largest finite number."""
    return [
        (difference(wanted[name], actual[name]), _peak(wanted[name]))
        for wanted, actual in zip(expected, found, strict=True)
        for name in wanted
    ]


def _peak(tensor: torch.Tensor) -> float:
    finite = tensor[torch.isfinite(tensor)].double()
    return finite.abs().max().item() if finite.numel() else 0.0
