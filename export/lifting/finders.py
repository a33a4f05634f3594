"""Which calls of a forward are operators along time, by runs of different lengths."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from carousel.export.lifting.recording import Call, Recording
from carousel.export.lifting.scans import CONVOLVING, REDUCING, RUNNING, At, Scan, argument


def find_scans(one: Recording, two: Recording) -> Iterator[Scan]:
    """The operators along time, from a run of one step and one of two."""
    twice = {(call.site, call.occurrence): call for call in two.calls}
    for call in one.calls:
        at = (call.site, call.occurrence)
        other, kind = twice.get(at), call.site.function
        if other is None or kind not in _FINDERS:
            continue
        found = _FINDERS[kind](at, call, other)
        if found is not None:
            yield found


def find_late(one: Recording, two: Recording) -> Iterator[Scan]:
    """Where the forward takes all steps but the last, from runs of so many steps and of one more:
    of steps that are all the same it would be the last.
    """
    after = {(call.site, call.occurrence): call for call in two.calls}
    for call in one.calls:
        other = after.get((call.site, call.occurrence))
        if call.site.function not in ("__getitem__", "narrow") or other is None:
            continue
        axis = _grows(call, other)
        source, taken = call.args[0], one.values[call.made[0]]
        if axis is None or taken.dim() != source.dim():
            continue
        size = source.shape[axis] - 1
        if taken.shape[axis] == size and torch.equal(taken, source.narrow(axis, 0, size)):
            yield Scan((call.site, call.occurrence), "late", axis)


def _grows(call: Call, other: Call) -> int | None:
    """The axis along which the first argument is longer in a run of two steps."""
    return grown_axis(*(each.args[0] if each.args else None for each in (call, other)))


def grown_axis(x: Any, y: Any) -> int | None:
    """The one axis along which `y` has another size."""
    if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor) or x.dim() != y.dim():
        return None
    grown = [axis for axis in range(x.dim()) if x.shape[axis] != y.shape[axis]]
    return grown[0] if len(grown) == 1 else None


def _along(at: At, call: Call, other: Call) -> Scan | None:
    """A running sum and its like, or one over all steps."""
    axis = _grows(call, other)
    if axis is None or other.args[0].shape[axis] != call.args[0].shape[axis] + 1:
        return None
    dim = argument(call.args, call.kwargs, 1, "dim")
    if isinstance(dim, (tuple, list)) and len(dim) == 1:
        dim = dim[0]
    if type(dim) is not int or dim % call.args[0].dim() != axis:
        return None
    return Scan(at, call.site.function, axis)


def _padded(at: At, call: Call, other: Call) -> Scan | None:
    """Zeros in front of the first step."""
    axis, widths = _grows(call, other), argument(call.args, call.kwargs, 1, "pad")
    value = argument(call.args, call.kwargs, 3, "value") or 0
    mode = argument(call.args, call.kwargs, 2, "mode") or "constant"
    if axis is None or widths is None or mode != "constant":
        return None
    place = 2 * (call.args[0].dim() - 1 - axis)
    others = [width for index, width in enumerate(widths) if index != place]
    if place >= len(widths) or widths[place] <= 0 or any(others):
        return None
    return Scan(at, "pad", axis, widths[place], value)


def _convolved(at: At, call: Call, other: Call) -> Scan | None:
    """A convolution with zeros at both ends, of which the forward leaves the last outputs off."""
    axis, x = _grows(call, other), call.args[0]
    strides, widths = (
        argument(call.args, call.kwargs, place, name)
        for place, name in ((3, "stride"), (4, "padding"))
    )
    if axis is None or widths is None or isinstance(widths, str) or axis < 2:
        return None
    place = axis - 2
    widths = [widths] * (x.dim() - 2) if isinstance(widths, int) else list(widths)
    strides = [strides] if isinstance(strides, int) else list(strides or [1])
    if place >= len(widths) or widths[place] <= 0 or strides[min(place, len(strides) - 1)] != 1:
        return None
    return Scan(at, call.site.function, axis, widths[place])


def _differenced(at: At, call: Call, other: Call) -> Scan | None:
    axis, before = _grows(call, other), argument(call.args, call.kwargs, 3, "prepend")
    if axis is None or not isinstance(before, torch.Tensor):
        return None
    return Scan(at, "diff", axis, before.shape[axis])


def _counted(at: At, call: Call, other: Call) -> Scan | None:
    given = [each for each in call.args if isinstance(each, (int, float))]
    step = given[2] if len(given) > 2 else call.kwargs.get("step", 1)
    again = [each for each in other.args if isinstance(each, (int, float))]
    grows = len(given) == len(again) and (given, call.kwargs) != (again, other.kwargs)
    return Scan(at, "arange", value=step) if grows else None


_FINDERS: Mapping[str, Callable[[At, Call, Call], Scan | None]] = {
    **dict.fromkeys((*RUNNING, *REDUCING, "mean"), _along),
    **dict.fromkeys(CONVOLVING, _convolved),
    "pad": _padded,
    "diff": _differenced,
    "arange": _counted,
}
