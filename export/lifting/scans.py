"""Operators that run along time, made stateful: one step takes what the steps before have left."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from carousel.export.lifting.recording import Call
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
                before = argument(call.args, call.kwargs, 3, "prepend")
                return (before.detach().clone(),)
            return (x.new_full(shape, self.value),)
        dtype = call.kwargs.get("dtype") or _summed(self.kind, x.dtype)
        neutral = torch.full_like(x.narrow(self.dim, 0, 1), _neutral(self.kind, x), dtype=dtype)
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
        own = x if self.kind in RUNNING else func(*args, **kwargs)
        last = (x.narrow(self.dim, x.shape[self.dim] - 1, 1), *args[1:])
        if self.kind == "late":
            before = own.narrow(self.dim, 0, own.shape[self.dim] - 1)
            return torch.cat([before, kept[0]], self.dim), (last[0],)
        found, after = _STEPS[self.kind](self, kept, func, last, kwargs)
        if self.kind in (*REDUCING, "mean"):
            return found, after
        if not isinstance(found, torch.Tensor):
            return type(found)((_behind(own, found[0], self.dim), found[1])), after
        return _behind(own, found, self.dim), after

    def names(self) -> tuple[str, ...]:
        """What to call what is kept."""
        return _NAMES[self.kind]


def _behind(own: torch.Tensor, last: torch.Tensor, dim: int) -> torch.Tensor:
    """The end of `own` replaced."""
    return torch.cat([own.narrow(dim, 0, own.shape[dim] - last.shape[dim]), last], dim)


def argument(args: Any, kwargs: Mapping[str, Any], place: int, name: str) -> Any:
    """An argument of a call, wherever it stands."""
    return args[place] if len(args) > place else kwargs.get(name)


def _summed(kind: str, dtype: torch.dtype) -> torch.dtype:
    """What torch gives: sums and products of small integers, and of booleans, are large ones."""
    if kind in ("any", "all"):
        return torch.bool
    if kind == "count_nonzero" or (kind in _WIDENING and not _is_real(dtype)):
        return torch.int64
    return dtype


def _is_real(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point or dtype.is_complex


def _neutral(kind: str, x: torch.Tensor) -> Any:
    if kind in ("cumsum", "sum", "mean", "any", "count_nonzero"):
        return 0
    if kind in ("cumprod", "prod", "all"):
        return 1
    if x.dtype == torch.bool:
        return kind in ("cummin", "amin", "min")
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
    "any": torch.logical_or,
    "all": torch.logical_and,
    "count_nonzero": lambda own, kept: kept + own.bool(),
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


_WIDENING = ("cumsum", "sum", "cumprod", "prod")
RUNNING = ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
SUMMING = ("cumsum", "sum", "mean", "cumprod", "prod", "logcumsumexp", "logsumexp")
REDUCING = (
    *("sum", "prod", "logsumexp", "amax", "max", "amin", "min"),
    *("any", "all", "count_nonzero"),
)
CONVOLVING = ("conv1d", "conv2d", "conv3d")
_Step = Callable[[Scan, Any, Any, Any, Any], Any]
_STEPS: Mapping[str, _Step] = {
    **dict.fromkeys(RUNNING, _run_on),
    **dict.fromkeys(REDUCING, _reduce),
    **dict.fromkeys(CONVOLVING, _convolve),
    "mean": _average,
    "pad": _keep,
    "diff": _subtract,
    "arange": _count,
}
_NAMES: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("cumsum", "sum"), ("total",)),
    **dict.fromkeys(("cumprod", "prod"), ("product",)),
    **dict.fromkeys(("logcumsumexp", "logsumexp"), ("log_total",)),
    **dict.fromkeys(("cummax", "amax", "max"), ("highest",)),
    **dict.fromkeys(("cummin", "amin", "min"), ("lowest",)),
    **dict.fromkeys((*CONVOLVING, "pad"), ("past",)),
    "any": ("any",),
    "all": ("all",),
    "count_nonzero": ("count",),
    "mean": ("total", "count"),
    **dict.fromkeys(("diff", "late"), ("previous",)),
    "arange": ("position",),
}
