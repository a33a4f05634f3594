"""Drift: rounding that adds up until a run is off by more than anything may be, told from what is
wrong.

Judged number by number, since beside one that is lost stands another that is not. A number may be
off by one of these:

| what | how far |
| --- | --- |
| any | `ceiling` of the largest value that there is in its place |
| one by which the original itself is off float64, then or just before | so many times as far |
| one that has been off before, in a run that is long enough to tell | so much more as the steps |
"""

from collections.abc import Collection

import torch

from carousel.export.measured.subject import Expected, only
from carousel.export.measured.tolerance import Off, Tensors, Tolerance, largest

_TIMES = 16  # the original's own error; runtimes round functions of their own more coarsely
_JUST = (
    16  # steps for which an error of the original counts: a threshold that is met sooner or later
)
_GROWTH = 3  # powers of the steps by which rounding adds up at the most (sums of sums)


def drift(
    expected: Expected,
    found: Tensors,
    tolerance: Tolerance | None = None,
    half: tuple[Expected, Tensors] | None = None,
    *,
    grows: bool = False,
    names: Collection[str] | None = None,
) -> float | None:
    """How far a run is off in proportion to the largest value, if that may be rounding; None where
    it is not. `names` are the tensors that count, if not all do.

    `grows`: also by what it was off before. Of what belongs to the whole sequence only `half` tells
    that, a run of half the steps and what was found.
    """
    ceiling = (tolerance or expected.subject.tolerance).ceiling
    wanted, axes = expected.tensors(), _time_axes(expected)
    wanted = wanted if names is None else only(wanted, names)
    exact: dict[str, Off] | None = None
    for name, each in wanted.items():
        own, axis = found[name], axes.get(name)
        if _within(each, own, ceiling, axis):
            continue
        exact = expected.rounding() if exact is None else exact
        allowed = _allowed(each, own, exact.get(name), ceiling, axis)
        if allowed is None:
            return None
        if grows and axis is not None:
            usual = ceiling * _peaks(each, axis)
            allowed = torch.maximum(allowed, _grown(_errors(each, own), usual, axis))
        elif grows and half is not None and drift(*half) is not None:
            before = largest({name: half[0].tensors()[name]}, half[1])
            allowed = allowed.clamp(min=2**_GROWTH * before)
        if not bool((_errors(each, own) <= allowed).all()):
            return None
    return ceiling * Tolerance(ceiling, ceiling).compare(wanted, only(found, wanted)).ratio


def _time_axes(expected: Expected) -> dict[str, int]:
    outputs = expected.subject.spec.outputs
    return {each.name: each.time_axis for each in outputs if each.time_axis is not None}


def _within(wanted: torch.Tensor, found: torch.Tensor, ceiling: float, axis: int | None) -> bool:
    """Whether nothing is off by more than anything may be."""
    if not wanted.is_floating_point() or wanted.shape != found.shape:
        return Tolerance(ceiling, ceiling).difference(wanted, found).passes
    return bool((_errors(wanted, found) <= ceiling * _peaks(wanted, axis)).all())


def _allowed(
    wanted: torch.Tensor, found: torch.Tensor, off: Off | None, ceiling: float, axis: int | None
) -> torch.Tensor | None:
    """How far each number may be off; None where nothing may."""
    if not wanted.is_floating_point() or wanted.shape != found.shape:
        return None
    allowed = ceiling * _peaks(wanted, axis)
    if off is None or off.exact is None:
        return allowed
    error = _TIMES * _errors(off.exact, wanted).nan_to_num(nan=0.0, posinf=0.0)
    if axis is not None:
        return torch.maximum(allowed, _trailing(error, axis))
    # Of one answer alone a number that is lost may by chance be near: it may be as far as others.
    return torch.where(error > _TIMES * allowed, error.amax(), torch.maximum(allowed, error))


def _errors(wanted: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
    """How far each number is off; infinitely where only one of the two is finite."""
    alike = (wanted == found) | (wanted.isnan() & found.isnan())
    error = (wanted.double() - found.double()).abs()
    return error.masked_fill(alike, 0.0).nan_to_num(nan=float("inf"))


def _peaks(wanted: torch.Tensor, axis: int | None) -> torch.Tensor:
    """The largest value that stands in the place of each number at any step, or one if that is
    less; of what has no steps, in the whole.
    """
    sizes = wanted.double().abs().masked_fill(~wanted.isfinite(), 0.0)
    if sizes.numel() == 0:
        return sizes
    peaks = sizes.amax() if axis is None else sizes.amax(axis, keepdim=True)
    return peaks.clamp(min=1.0).expand(sizes.shape)


def _trailing(error: torch.Tensor, axis: int) -> torch.Tensor:
    """The largest of each step and those just before it."""
    rows = error.movedim(axis, -1)
    padded = torch.nn.functional.pad(rows.reshape(-1, 1, rows.shape[-1]), (_JUST - 1, 0))
    found = torch.nn.functional.max_pool1d(padded, _JUST, stride=1)
    return found.reshape(rows.shape).movedim(-1, axis)


def _grown(error: torch.Tensor, usual: torch.Tensor, axis: int) -> torch.Tensor:
    """What errors may have grown to from those a while before, when there was an eighth less to add
    up: of the first from none.

    A sum that is off to both sides in turn may have been near by chance: then as those beside it
    were, as far as anything may be.
    """
    across = [each for each in range(error.dim()) if each != axis]
    beside = (error.amax(across, keepdim=True) if across else error).expand(error.shape)
    most, others = (each.cummax(axis).values for each in (error, beside))
    before = torch.maximum(most, torch.minimum(others, usual)).movedim(axis, -1)
    earlier = torch.nn.functional.pad(before, (1, 0))[..., torch.arange(error.shape[axis]) * 7 // 8]
    grown: torch.Tensor = 2**_GROWTH * earlier
    return grown.movedim(-1, axis)
