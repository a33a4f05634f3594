"""What a forward cuts off a sequence or puts in front of it, to set each step beside the one before
(`x[:, 1:] - x[:, :-1]`), made stateful: one step keeps what the step before was.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from carousel.export.lifting.finders import grown_axis
from carousel.export.lifting.recording import Call, Recording
from carousel.export.lifting.scans import Scan

_CUTS = ("__getitem__", "narrow")
_NAMES = {
    "ahead": (),
    "before": ("previous",),
    "fill": ("begun",),
    "front": ("past",),
    "diff": ("previous", "begun"),
}


@dataclass(frozen=True, slots=True)
class Shift(Scan):
    """One such call.

    `ahead`: all steps but the first `size`, nothing of one step. `before`: all but the last.
    `fill`: the first ones stand in front of what is made of those two. `front`: so many steps stand
    in front of all. `diff`: the first step stands in front, and each is set beside the one before.
    """

    def start(self, call: Call, batch: int) -> tuple[torch.Tensor, ...]:
        """What it keeps before the first step, from its call in a run of one."""
        if self.kind == "ahead":
            return ()
        if self.kind == "front":
            return (call.args[0][0].detach().clone(),)
        first: Any = call.args[0]  # as many rows as what it makes
        first = first[0] if isinstance(first, (list, tuple)) else first
        shape = list(first.shape)
        shape[self.dim] = self.size
        if self.kind == "before":
            return (first.new_zeros(shape),)
        flag = torch.zeros(shape, dtype=torch.bool)
        return (torch.zeros_like(first), flag) if self.kind == "diff" else (flag,)

    def step(
        self, kept: tuple[torch.Tensor, ...], func: Any, args: Any, kwargs: Any, copies: int = 1
    ) -> tuple[Any, tuple[torch.Tensor, ...]]:
        """The output of one step and what is kept after it."""
        if self.kind == "ahead":
            return args[0], kept
        if self.kind == "before":
            return self._oldest(kept[0]), (self._after(kept[0], args[0]),)
        if self.kind == "front":
            return torch.cat([kept[0], args[0][1]], self.dim), (self._after(kept[0], args[0][1]),)
        flag = self._oldest(kept[-1])
        begun = self._after(kept[-1], torch.ones_like(flag))
        if self.kind == "diff":
            return args[0] - torch.where(flag, kept[0], args[0]), (args[0], begun)
        if func.__name__ == "__setitem__":
            args[0].copy_(torch.where(flag, args[2], args[0]))
            return None, (begun,)
        if isinstance(args[0], (list, tuple)):
            return torch.where(flag, args[0][1], self._oldest(args[0][0])), (begun,)
        return torch.where(flag, args[0], self.value), (begun,)

    def _oldest(self, kept: torch.Tensor) -> torch.Tensor:
        return kept.narrow(self.dim, 0, 1)

    def _after(self, kept: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """The last `size` steps, with one more."""
        return torch.cat([kept.narrow(self.dim, 1, self.size - 1), step], self.dim)

    def names(self) -> tuple[str, ...]:
        """What to call what is kept."""
        return _NAMES[self.kind]


def find_shifts(one: Recording, many: Recording) -> Iterator[Shift]:
    """Those of a forward, from a run of one step and one of several."""
    longer = {(call.site, call.occurrence): call for call in many.calls}
    for call in one.calls:
        other = longer.get((call.site, call.occurrence))
        if other is None or not call.args:
            continue
        name = call.site.function
        if name in _CUTS:
            found = _cut(call, other, one, many)
        else:
            finder = _FINDERS.get(name)
            found = None if finder is None else finder(call, other)
        if found is not None:
            yield found


def _cut(call: Call, other: Call, one: Recording, many: Recording) -> Shift | None:
    axis = grown_axis(call.args[0], other.args[0])
    if axis is None or call.args[0].shape[axis] != 1:
        return None
    source, taken = other.args[0], many.values[other.made[0]]
    if call.args[0].narrow(axis, 0, 0).shape != one.values[call.made[0]].shape:
        return None
    left = taken.shape[axis]
    size = source.shape[axis] - left
    for kind, place in (("ahead", size), ("before", 0)):
        if left > 0 and torch.equal(taken, source.narrow(axis, place, left)):
            return Shift((call.site, call.occurrence), kind, axis, size)
    return None


def _joined(call: Call, other: Call) -> Shift | None:
    parts, again = call.args[0], other.args[0]
    if not isinstance(parts, (list, tuple)) or len(parts) != 2 or len(again) != 2:
        return None
    axis = grown_axis(parts[1], again[1])
    given = (*call.args[1:2], call.kwargs.get("dim", call.kwargs.get("axis", 0)))[0]
    if axis is None or given % parts[1].dim() != axis or again[0].shape != parts[0].shape:
        return None
    at, size, own = (call.site, call.occurrence), parts[0].shape[axis], parts[1].shape[axis]
    if size > 0 and own == 1:
        return Shift(at, "front", axis, size)
    # Of several steps that stand in front the first is put for each: they are to be the same.
    alike = size > 0 and torch.equal(parts[0], parts[0].narrow(axis, 0, 1).expand_as(parts[0]))
    return Shift(at, "fill", axis, size) if own == 0 and alike else None


def _padded(call: Call, other: Call) -> Shift | None:
    x = call.args[0]
    axis = grown_axis(x, other.args[0])
    given = _named(call, "input", "pad", "mode", "value")
    if axis is None or x.shape[axis] != 0 or given.get("mode", "constant") != "constant":
        return None
    place, widths = 2 * (x.dim() - 1 - axis), list(given["pad"])
    size = widths[place] if place < len(widths) else 0
    if size <= 0 or sum(map(abs, widths)) != size:
        return None
    return Shift((call.site, call.occurrence), "fill", axis, size, given.get("value") or 0)


def _written(call: Call, other: Call) -> Shift | None:
    """Into all steps but the first."""
    target, value, later = call.args[0], call.args[2], other.args[2]
    axis = grown_axis(target, other.args[0])
    if axis is None or not isinstance(value, torch.Tensor) or value.dim() != target.dim():
        return None
    size = other.args[0].shape[axis] - later.shape[axis]
    empty = value.shape[axis] == 0 and target.shape[axis] == 1
    return Shift((call.site, call.occurrence), "fill", axis, size) if empty else None


def _differenced(call: Call, other: Call) -> Shift | None:
    """With the first step itself in front."""
    axis = grown_axis(call.args[0], other.args[0])
    given = [_named(each, "input", "n", "dim", "prepend", "append") for each in (call, other)]
    if axis is None or given[0].get("n", 1) != 1 or given[0].get("append") is not None:
        return None
    for each in given:
        front = each.get("prepend")
        if front is None or not torch.equal(front, each["input"].narrow(axis, 0, 1)):
            return None
    return Shift((call.site, call.occurrence), "diff", axis, 1)


def _named(call: Call, *names: str) -> dict[str, Any]:
    return dict(zip(names, call.args, strict=False)) | dict(call.kwargs)


_FINDERS = {
    **dict.fromkeys(("cat", "concat"), _joined),
    "pad": _padded,
    "__setitem__": _written,
    "diff": _differenced,
}
