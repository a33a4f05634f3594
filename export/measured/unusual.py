"""Unusual steps, which inputs that are drawn like the example do not have: loud and silent ones,
those of the other sign, integers anywhere that they may be, and what is on either side of a number
that forward compares with.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch

from carousel.export.measured.rows import LOUD
from carousel.export.measured.sampling import can_hold
from carousel.export.measured.subject import Expected
from carousel.export.measured.tolerance import Tensors
from carousel.models.spec import InputSpec, ModelSpec

_TURNS, _MORE_TURNS = 3, 48  # of integers one after the other; more where there are not so many
_SMALL = 4096
_ABOVE = 3
_MARKS = 16  # numbers that forward compares with, of those that are tried


@dataclass(frozen=True, slots=True)
class Unusual:
    """Inputs with a word for them, and how many times as loud they are."""

    words: str
    inputs: Tensors
    loud: float


def unusual_steps(spec: ModelSpec, expected: Expected) -> list[Unusual]:
    """The same inputs with such steps among them, as many ways as there are."""
    return [*_unusual(spec, expected), *_marked(spec, expected)]


def _unusual(spec: ModelSpec, expected: Expected) -> Iterator[Unusual]:
    last, middle = expected.time - 1, expected.time // 2
    many, late = _many(expected.time), _late(expected.time)
    for words, times, loud in (
        ("a loud last step", {last: LOUD}, LOUD),
        ("a loud first step", {0: LOUD}, LOUD),
        ("quiet steps before the last", dict.fromkeys(range(last), 1 / LOUD), 1.0),
        ("quiet steps after the first", dict.fromkeys(range(1, last + 1), 1 / LOUD), 1.0),
        ("silent steps", {middle: 0.0, last: 0.0}, 1.0),
        ("steps of the other sign", dict.fromkeys(many, -1.0), 1.0),
        ("last steps of the other sign", dict.fromkeys(late, -1.0), 1.0),
    ):
        inputs = {
            each.name: _scaled(expected.inputs[each.name], each.time_axis, times)
            for each in spec.inputs
        }
        yield Unusual(words, inputs, loud)
    for words, steps in (("ones for zeros", many), ("last ones for zeros", late)):
        inputs = {
            each.name: _filled(expected.inputs[each.name], each, steps) for each in spec.inputs
        }
        yield Unusual(words, inputs, 1.0)
    spans = [each.high - (each.low or 0) + 1 for each in spec.inputs if each.high is not None]
    if spans:
        few = max(spans) <= _SMALL
        for turn in (*range(_MORE_TURNS if few else _TURNS), -1):
            inputs = {
                each.name: _counted(expected.inputs[each.name], each, turn) for each in spec.inputs
            }
            yield Unusual("other integers", inputs, 1.0)


def _marked(spec: ModelSpec, expected: Expected) -> Iterator[Unusual]:
    """Steps that hold what forward compares values with, or more or less, in inputs that may."""
    many, late = _many(expected.time), _late(expected.time)
    marks = sorted(expected.subject.marks, key=lambda mark: (mark == mark, abs(mark)))  # NaN first
    for mark in marks[:_MARKS]:
        for words, steps, side in (
            (f"steps of {mark:g}", (1, expected.time // 2), 0),
            (f"many steps of {mark:g}", many, 0),
            (f"steps below {mark:g}", many, -1),
            (f"steps above {mark:g}", many, 1),
            (f"last steps of {mark:g}", late, 0),
            (f"last steps below {mark:g}", late, -1),
            (f"last steps above {mark:g}", late, 1),
        ):
            inputs = {
                each.name: _put(expected.inputs[each.name], each, mark, steps, side)
                for each in spec.inputs
            }
            yield Unusual(words, inputs, 1.0)
        if abs(mark) > 1:
            yield Unusual(f"steps as loud as {mark:g}", _as_loud(spec, expected, abs(mark)), 1.0)
            first = {
                each.name: _scaled(
                    expected.inputs[each.name],
                    each.time_axis,
                    {0: 10 * _ABOVE * abs(mark) / _peak(expected.inputs[each.name])},
                )
                for each in spec.inputs
            }
            yield Unusual(f"a first step as loud as {mark:g}", first, abs(mark))


def _many(time: int) -> Collection[int]:
    """More than half of the steps, and some are left as they are: the first, and the last."""
    return [step for step in range(1, max(time - 1, 2)) if step % 4 != 3]


def _late(time: int) -> Collection[int]:
    """The last steps, after which nothing comes."""
    return range(time // 2 + 1, time)


def _filled(tensor: torch.Tensor, spec: InputSpec, steps: Collection[int]) -> torch.Tensor:
    """Ones where zeros stand in these steps: a flag that no example has."""
    if spec.time_axis is None or not tensor.is_floating_point():
        return tensor
    made = tensor.clone()
    for step in steps:
        held = made.select(spec.time_axis, step)
        held.masked_fill_(held == 0, 1.0)
    return made


def _put(
    tensor: torch.Tensor, spec: InputSpec, mark: float, steps: Collection[int], side: int
) -> torch.Tensor:
    """These steps at a number, or on one side of it: floats as far from it as they are large."""
    beside = mark + side
    if spec.time_axis is None or not _may_hold(spec, tensor, beside):
        return tensor
    made = tensor.clone()
    for step in steps:
        held = made.select(spec.time_axis, step)
        if not tensor.is_floating_point():
            held.fill_(int(beside))
        elif side:
            held.copy_(mark + side * (held.abs() + (held == 0)))
        else:
            held.fill_(mark)
    return made


def _as_loud(spec: ModelSpec, expected: Expected, peak: float) -> Tensors:
    """All steps a few times as loud as `peak`, and one of them many times."""
    inputs = dict(expected.inputs)
    for each in spec.inputs:
        tensor = inputs[each.name]
        if tensor.is_floating_point():
            tensor = tensor * (_ABOVE * peak / _peak(tensor))
            inputs[each.name] = _scaled(tensor, each.time_axis, {1: 10 * _ABOVE})
    return inputs


def _peak(tensor: torch.Tensor) -> float:
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return 1.0
    return max(tensor.abs().max().item(), 1e-9)


def _may_hold(spec: InputSpec, tensor: torch.Tensor, mark: float) -> bool:
    if not can_hold(tensor.dtype, mark) or tensor.dtype == torch.bool:
        return False
    if tensor.is_floating_point():
        return True
    return (spec.low or 0) <= mark <= (mark if spec.high is None else spec.high)


def _counted(tensor: torch.Tensor, spec: InputSpec, turn: int) -> torch.Tensor:
    """Integers of a known range, one after the other: special ones are its first or its last. Each
    turn goes on where the one before ended, and -1 is the last.
    """
    if spec.high is None:
        return tensor
    low = spec.low or 0  # a negative one stands for one from the end
    count, span = tensor.numel(), min(spec.high - low + 1, 2**31)
    start = span - count if turn < 0 else turn * count
    ids = torch.arange(start, start + count) % span + low
    # Not in order of size: an end that comes at once would end nothing.
    mixed = ids[torch.randperm(count, generator=torch.Generator().manual_seed(turn + 1))]
    return mixed.reshape(tensor.shape).to(tensor.dtype)


def _scaled(tensor: torch.Tensor, time: int | None, times: Mapping[int, float]) -> torch.Tensor:
    """Each step named in `times` so many times as loud; what is no float as it is."""
    if time is None or not tensor.is_floating_point():
        return tensor
    made = tensor.clone()
    for step, loud in times.items():
        made.select(time, step).mul_(loud)
    return made
