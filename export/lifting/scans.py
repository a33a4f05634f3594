"""Operators that run along time, made stateful: one step takes what the steps before have left."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from carousel.export.lifting.recording import Call, Recording
from carousel.export.lifting.sites import Site

At = tuple[Site, int]  # a site, and which of its calls in a run of one step


@dataclass(frozen=True, slots=True)
class Scan:
    """One such operator; `kind` is its own name, `dim` its axis of time, `size` how many steps of
    its input it keeps where it keeps any, `value` what stands there first or what a count goes by.
    A count may be one for `each` row.
    """

    at: At
    kind: str
    dim: int = 0
    size: int = 0
    value: float = 0
    each: bool = False

    def start(self, call: Call, batch: int) -> tuple[torch.Tensor, ...]:
        """What it keeps before the first step of `batch` rows, from its call in a run of one."""
        if self.kind == "arange":
            return (torch.zeros((batch, 1) if self.each else (), dtype=torch.int64),)
        x: torch.Tensor = call.args[0]
        if self.kind == "late":
            return (torch.zeros_like(x.narrow(self.dim, 0, 1)),)
        if self.size:
            shape = list(x.shape)
            shape[self.dim] = self.size
            if self.kind == "diff":
                before = _argument(call.args, call.kwargs, 3, "prepend")
                return (before.detach().clone(),)
            return (x.new_full(shape, self.value),)
        neutral = torch.full_like(x.narrow(self.dim, 0, 1), _neutral(self.kind, x))
        # A count for every number, so that each row has its own: rows stand at different steps.
        counts = torch.zeros(neutral.shape, dtype=torch.int64)
        return (neutral, counts)[: 2 if self.kind == "mean" else 1]

    def step(
        self, kept: tuple[torch.Tensor, ...], func: Any, args: Any, kwargs: Any, copies: int = 1
    ) -> tuple[Any, tuple[torch.Tensor, ...]]:
        """The output of one step and what is kept after it; of `copies` steps of the same input,
        of which only the last counts.
        """
        if copies == 1:
            found, after = _STEPS[self.kind](self, kept, func, args, kwargs)
            return found, after
        if self.kind == "arange":
            gone = (kept[0] - (copies - 1)) * self.value
            return func(*args, **kwargs) + gone, (kept[0] + 1,)
        x = args[0]
        # What comes before the last step does not count, and ONNX has not every such operator.
        own = x if self.kind in _RUNNING else func(*args, **kwargs)
        last = (x.narrow(self.dim, x.shape[self.dim] - 1, 1), *args[1:])
        if self.kind == "late":
            before = own.narrow(self.dim, 0, own.shape[self.dim] - 1)
            return torch.cat([before, kept[0]], self.dim), (last[0],)
        found, after = _STEPS[self.kind](self, kept, func, last, kwargs)
        if self.kind in (*_REDUCING, "mean"):
            return found, after
        if not isinstance(found, torch.Tensor):
            return type(found)((_behind(own, found[0], self.dim), found[1])), after
        return _behind(own, found, self.dim), after

    def names(self) -> tuple[str, ...]:
        """What to call what is kept."""
        return _NAMES[self.kind]


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


def _behind(own: torch.Tensor, last: torch.Tensor, dim: int) -> torch.Tensor:
    """The end of `own` replaced."""
    return torch.cat([own.narrow(dim, 0, own.shape[dim] - last.shape[dim]), last], dim)


def _argument(args: Any, kwargs: Mapping[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs.get(name)


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
    dim = _argument(call.args, call.kwargs, 1, "dim")
    if isinstance(dim, (tuple, list)) and len(dim) == 1:
        dim = dim[0]
    if type(dim) is not int or dim % call.args[0].dim() != axis:
        return None
    return Scan(at, call.site.function, axis)


def _padded(at: At, call: Call, other: Call) -> Scan | None:
    """Zeros in front of the first step."""
    axis, widths = _grows(call, other), _argument(call.args, call.kwargs, 1, "pad")
    value = _argument(call.args, call.kwargs, 3, "value") or 0
    mode = _argument(call.args, call.kwargs, 2, "mode") or "constant"
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
        _argument(call.args, call.kwargs, place, name)
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
    axis, before = _grows(call, other), _argument(call.args, call.kwargs, 3, "prepend")
    if axis is None or not isinstance(before, torch.Tensor):
        return None
    return Scan(at, "diff", axis, before.shape[axis])


def _counted(at: At, call: Call, other: Call) -> Scan | None:
    given = [each for each in call.args if isinstance(each, (int, float))]
    step = given[2] if len(given) > 2 else call.kwargs.get("step", 1)
    again = [each for each in other.args if isinstance(each, (int, float))]
    grows = len(given) == len(again) and (given, call.kwargs) != (again, other.kwargs)
    return Scan(at, "arange", value=step) if grows else None


def _neutral(kind: str, x: torch.Tensor) -> Any:
    if kind in ("cumsum", "sum", "mean"):
        return 0
    if kind in ("cumprod", "prod"):
        return 1
    info = torch.finfo(x.dtype) if x.is_floating_point() else torch.iinfo(x.dtype)
    return info.max if kind in ("cummin", "amin", "min") else info.min


def _logaddexp(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Finite where one of them is the lowest number there is, and of operators ONNX has."""
    return torch.maximum(a, b) + torch.log1p(torch.exp(-(a - b).abs()))


_COMBINED: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    **dict.fromkeys(("cumsum", "sum"), torch.add),
    **dict.fromkeys(("cumprod", "prod"), torch.mul),
    **dict.fromkeys(("logcumsumexp", "logsumexp"), _logaddexp),
    **dict.fromkeys(("cummax", "amax", "max"), torch.maximum),
    **dict.fromkeys(("cummin", "amin", "min"), torch.minimum),
}


def _run_on(scan: Scan, kept: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """A running operator: its output is what is kept."""
    total = _COMBINED[scan.kind](args[0], kept[0])
    if scan.kind in ("cummax", "cummin"):
        # Where it was is not known, and ONNX has no such operator: of use is the value alone.
        where = torch.zeros_like(total, dtype=torch.int64)
        kinds: Any = torch.return_types
        return getattr(kinds, scan.kind)((total, where)), (total,)
    return total, (total,)


def _reduce(scan: Scan, kept: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """A reduction over all steps so far."""
    own = func(*args, **kwargs)
    total = _COMBINED[scan.kind](args[0], kept[0])
    values = own if isinstance(own, torch.Tensor) else own[0]
    kept_axis = values.dim() == total.dim()
    found = total if kept_axis else total.squeeze(scan.dim)
    return (found if isinstance(own, torch.Tensor) else type(own)((found, own[1]))), (total,)


def _average(scan: Scan, kept: Any, func: Any, args: Any, kwargs: Any) -> Any:
    own = func(*args, **kwargs)
    total, count = args[0] + kept[0], kept[1] + 1
    found = total / count
    return (found if own.dim() == found.dim() else found.squeeze(scan.dim)), (total, count)


def _keep(scan: Scan, kept: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """Zeros in front: the steps before stand there."""
    seen = torch.cat([kept[0], args[0]], scan.dim)
    return seen, (_last(seen, scan),)


def _convolve(scan: Scan, kept: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """Its first outputs are those of the steps so far; the forward leaves off what comes after."""
    seen = torch.cat([kept[0], args[0]], scan.dim)
    found = func(seen, *args[1:], **kwargs)
    return found.narrow(scan.dim, scan.size, found.shape[scan.dim] - scan.size), (
        _last(seen, scan),
    )


def _subtract(scan: Scan, kept: Any, func: Any, args: Any, kwargs: Any) -> Any:
    seen = torch.cat([kept[0], args[0]], scan.dim)
    given = dict(zip(("input", "n", "dim", "prepend", "append"), args, strict=False)) | kwargs
    found = seen
    for _ in range(given.get("n", 1)):  # ONNX has no such operator
        size = found.shape[scan.dim] - 1
        found = found.narrow(scan.dim, 1, size) - found.narrow(scan.dim, 0, size)
    return found, (_last(seen, scan),)


def _count(scan: Scan, kept: Any, func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs) + kept[0] * scan.value, (kept[0] + 1,)


def _last(seen: torch.Tensor, scan: Scan) -> torch.Tensor:
    return seen.narrow(scan.dim, seen.shape[scan.dim] - scan.size, scan.size)


_RUNNING = ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
SUMMING = ("cumsum", "sum", "mean", "cumprod", "prod", "logcumsumexp", "logsumexp")
_REDUCING = ("sum", "prod", "logsumexp", "amax", "max", "amin", "min")
_CONVOLVING = ("conv1d", "conv2d", "conv3d")
_Step = Callable[[Scan, Any, Any, Any, Any], Any]
_STEPS: Mapping[str, _Step] = {
    **dict.fromkeys(_RUNNING, _run_on),
    **dict.fromkeys(_REDUCING, _reduce),
    **dict.fromkeys(_CONVOLVING, _convolve),
    "mean": _average,
    "pad": _keep,
    "diff": _subtract,
    "arange": _count,
}
_FINDERS: Mapping[str, Callable[[At, Call, Call], Scan | None]] = {
    **dict.fromkeys((*_RUNNING, *_REDUCING, "mean"), _along),
    **dict.fromkeys(_CONVOLVING, _convolved),
    "pad": _padded,
    "diff": _differenced,
    "arange": _counted,
}
_NAMES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("cumsum", "sum"), ("total",)),
    **dict.fromkeys(("cumprod", "prod"), ("product",)),
    **dict.fromkeys(("logcumsumexp", "logsumexp"), ("log_total",)),
    **dict.fromkeys(("cummax", "amax", "max"), ("highest",)),
    **dict.fromkeys(("cummin", "amin", "min"), ("lowest",)),
    **dict.fromkeys((*_CONVOLVING, "pad"), ("past",)),
    "mean": ("total", "count"),
    **dict.fromkeys(("diff", "late"), ("previous",)),
    "arange": ("position",),
}
