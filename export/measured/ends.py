"""Sequences of many lengths: what belongs to a whole sequence shows what came late only just after
it, and a forward may ask how long a sequence is.

Lengths beyond the numbers in forward's code come first, then all small ones, and larger ones that
are spaced as far as a cell remembers: as many as take seconds.
"""

from collections.abc import Iterator
from time import process_time

import torch

from carousel.export.errors import ExportRefused
from carousel.export.measured.drift import drift
from carousel.export.measured.sampling import take_steps
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import Expected, Given, NotAccepted, Reference, only
from carousel.export.measured.tolerance import Tensors
from carousel.models.spec import ModelSpec

_NUMBERS_S, _OTHERS_S = 3.0, 0.7  # seconds for the original at each kind of length
_BEYOND = 3  # lengths from each number on
_ALL, _NEAR, _FAR = 24, 400, 1000  # every length up to the first; every eighth, and so on
_SPACED, _WIDE, _WIDER = 8, 16, 128


def whole_differs(stepper: Stepper, reference: Reference) -> str | None:
    """Whether whole sequences of some length are answered otherwise than by the original."""
    for expected in _expected(reference):
        found = stepper.run_whole(expected.inputs, expected.states, expected.time).outputs
        text = _differs(expected, found)
        if text is not None:
            return text
    return None


def steps_differ(stepper: Stepper, reference: Reference) -> str | None:
    """The same of single steps, after each of which a sequence may end."""
    several = {each.time: each for each in _expected(reference)}
    if not several:
        return None
    longest = several[max(several)]
    last = {each.name for each in stepper.spec.outputs if each.time_axis is None}
    axes = {each.name: each.axes for each in stepper.spec.outputs}
    parts: dict[int, Tensors] = {}
    outputs: dict[str, list[torch.Tensor]] = {}
    for time, found in enumerate(_steps(stepper, longest), 1):
        for name, each in found.items():
            outputs.setdefault(name, []).append(each)
        if time in several and last:
            parts[time] = only(found, last)
    joined = {
        name: torch.cat(each, axes[name].index("time"))
        for name, each in outputs.items()
        if name not in last
    }
    for time in sorted(several):
        own = {name: take_steps(each, axes[name], 0, time) for name, each in joined.items()}
        text = _differs(several[time], {**own, **parts.get(time, {})})
        if text is not None:
            return text
    return None


def _steps(stepper: Stepper, expected: Expected) -> Iterator[Tensors]:
    now = expected.states
    for step in range(expected.time):
        result = stepper.run(_part(stepper.spec, expected.inputs, step, step + 1), now)
        yield result.outputs
        now = {**now, **result.states}


def _differs(expected: Expected, found: Tensors) -> str | None:
    wanted = expected.result.outputs
    far = expected.subject.tolerance.compare(wanted, found, roundings=[expected.rounding])
    if far.passes or drift(expected, found, names=wanted) is not None:
        return None
    return f"a sequence of {expected.time} steps is answered otherwise, by {far.error:.1e}"


def _expected(reference: Reference) -> list[Expected]:
    """The original at these lengths, of one row; every program is held to the same."""
    if reference.ends is None:
        reference.ends = list(_run(reference))
    return reference.ends


def _run(reference: Reference) -> Iterator[Expected]:
    spec, longest = reference.subject.spec, reference.long
    batch = int(spec.has_batch)
    if not spec.has_time or not reference.takes(longest):
        return
    given = reference.subject.draw(batch, longest, 91)
    numbers = sorted(number + more for number in reference.steps for more in range(_BEYOND))
    # What is told of each step is told by one long sequence, whatever its length is.
    spaced = _spaced(longest) if any(each.time_axis is None for each in spec.outputs) else ()
    tried: set[int] = set()
    for lengths, seconds in ((numbers, _NUMBERS_S), (spaced, _OTHERS_S)):
        began = process_time()
        for time in lengths:
            if process_time() - began > seconds:
                break
            if time in tried or not 0 < time <= longest or reference.costs_too_much(batch, time):
                continue
            tried.add(time)
            try:
                part = Given(_part(spec, given.inputs, 0, time), given.states)
                yield reference.run(part, batch, time)
            except (NotAccepted, ExportRefused):  # an answer of another size is none
                continue


def _spaced(longest: int) -> Iterator[int]:
    yield from range(1, _ALL)
    yield from range(_ALL, _NEAR, _SPACED)
    yield from range(_NEAR, _FAR, _WIDE)
    yield from range(_FAR, longest, _WIDER)
    yield from range(_ALL, _NEAR)


def _part(spec: ModelSpec, inputs: Tensors, start: int, end: int) -> Tensors:
    return {
        each.name: torch.full_like(inputs[each.name], end - start)
        if each.counts_steps
        else take_steps(inputs[each.name], each.axes, start, end)
        for each in spec.inputs
    }
