"""Memory that the states do not have: what unusual, later or far earlier steps show of it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch

from carousel.export.errors import ExportRefused
from carousel.export.measured.chunks import chunked
from carousel.export.measured.drift import drift
from carousel.export.measured.rows import LOUD, joined, places, take
from carousel.export.measured.sampling import can_hold, take_steps
from carousel.export.measured.stepper import Result, Stepper
from carousel.export.measured.subject import Expected, Given, NotAccepted, Reference, only
from carousel.export.measured.tolerance import (
    Difference,
    Scale,
    Tensors,
    Tolerance,
)
from carousel.export.programs.candidate import Candidate
from carousel.export.programs.faults import RunFailed, fault
from carousel.models.spec import BATCH, InputSpec, ModelSpec

_LONGEST_UNUSUAL = 16
_TURNS = 3
_ABOVE = 3
_MARKS = 12  # numbers that forward compares with, of those that are tried


@dataclass(frozen=True, slots=True)
class Unusual:
    """Inputs with a word for them, and how many times as loud they are."""

    words: str
    inputs: Tensors
    loud: float


def forgets(candidate: Candidate, reference: Reference) -> str | None:
    """Whether a long sequence shows memory that the states do not have and short ones do not need:
    a convolution over the last hundreds of steps.
    """
    stepper, batch, time = candidate.stepper, int(reference.subject.spec.has_batch), reference.long
    if stepper.spec.run_steps is not None or not reference.takes(time):
        return None  # of single steps the whole is made, which is compared
    expected = reference.at(batch, time)
    if expected is None:
        return None
    held = chunked(stepper, expected, [time // 2] * 2)
    if held.found.passes:
        return None
    found = stepper.run_chunks(expected.inputs, expected.states, [time // 2] * 2)
    if drift(expected, found.all()) is not None:
        return None
    return f"chunks differ from the whole (T={time}: {held.text})"


def remembers(candidate: Candidate, expected: Expected, reference: Reference) -> str | None:
    """Whether unusual steps show more memory than the states have: loud ones, silent ones, and
    integers anywhere that they may be.
    """
    if expected.time > _LONGEST_UNUSUAL:
        return None
    spec = candidate.stepper.spec
    unusual = [*_unusual(spec, expected), *_marked(spec, expected)]
    if all(BATCH in each.axes for each in spec.inputs):
        with suppress(NotAccepted, ExportRefused):  # then each by itself
            return _differs(candidate, expected, reference, unusual)
    for each in unusual:
        try:
            differs = _differs(candidate, expected, reference, [each])
        except RunFailed as error:
            return f"{each.words}: a chunk fails where the whole does not ({fault(error)})"
        except (NotAccepted, ExportRefused):  # whatever it says to such values
            continue
        if differs is not None:
            return differs
    return None


def _differs(
    candidate: Candidate, expected: Expected, reference: Reference, unusual: Sequence[Unusual]
) -> str | None:
    """Single steps beside the whole, all of `unusual` as rows of one batch."""
    subject, batch, time = expected.subject, expected.batch, expected.time
    before, after = places(candidate.stepper.spec)
    inputs = joined(before, [each.inputs for each in unusual])
    given = joined(before, [expected.given.states] * len(unusual))
    states = joined(before, [expected.states] * len(unusual))
    whole = reference.run(Given(inputs, given), batch * len(unusual), time)
    chunks = candidate.stepper.run_chunks(inputs, states, [1] * time)
    for index, each in enumerate(unusual):
        rows = range(batch * index, batch * (index + 1))
        # What is so many times as loud is off so many times as far.
        usual = subject.tolerance
        tolerance = Tolerance(usual.relative * each.loud, usual.ceiling * each.loud)
        alone = replace(
            expected,
            given=replace(expected.given, inputs=each.inputs),
            result=Result(
                take(whole.result.outputs, after, rows), take(whole.result.states, before, rows)
            ),
        )
        wanted = alone.tensors()
        own = take(only(chunks.all(), wanted), after, rows)
        found = tolerance.compare(wanted, own, roundings=[alone.rounding])
        if not found.passes and drift(alone, own, tolerance) is None:
            return f"{each.words}: chunks differ from the whole by {found.error:.1e}"
    return None


def _unusual(spec: ModelSpec, expected: Expected) -> Iterator[Unusual]:
    last, middle = expected.time - 1, expected.time // 2
    for words, times, loud in (
        ("a loud last step", {last: LOUD}, LOUD),
        ("a loud first step", {0: LOUD}, LOUD),
        ("quiet steps before the last", dict.fromkeys(range(last), 1 / LOUD), 1.0),
        ("quiet steps after the first", dict.fromkeys(range(1, last + 1), 1 / LOUD), 1.0),
        ("silent steps", {middle: 0.0, last: 0.0}, 1.0),
    ):
        inputs = {
            each.name: _scaled(expected.inputs[each.name], each.time_axis, times)
            for each in spec.inputs
        }
        yield Unusual(words, inputs, loud)
    if any(each.low is not None and each.high is not None for each in spec.inputs):
        for turn in (*range(_TURNS), -1):
            inputs = {
                each.name: _counted(expected.inputs[each.name], each, turn) for each in spec.inputs
            }
            yield Unusual("other integers", inputs, 1.0)


def _marked(spec: ModelSpec, expected: Expected) -> Iterator[Unusual]:
    """Steps that hold what forward compares values with, in inputs that may hold it."""
    for mark in list(expected.subject.marks)[:_MARKS]:
        inputs = dict(expected.inputs)
        for each in spec.inputs:
            tensor = inputs[each.name]
            if each.time_axis is not None and _may_hold(each, tensor, mark):
                tensor = inputs[each.name] = tensor.clone()
                for step in (1, expected.time // 2):
                    held = tensor.select(each.time_axis, step)
                    held.fill_(mark if tensor.is_floating_point() else int(mark))
        yield Unusual(f"steps of {mark:g}", inputs, 1.0)
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
    if spec.low is None or spec.high is None:
        return tensor
    count, span = tensor.numel(), min(spec.high - spec.low + 1, 2**31)
    start = span - count if turn < 0 else turn * count
    ids = torch.arange(start, start + count) % span + spec.low
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


def foresees(candidate: Candidate, expected: Expected, reference: Reference) -> str | None:
    """Whether a step of the program knows what comes after it."""
    stepper, subject = candidate.stepper, reference.subject
    if stepper.spec.run_steps is not None:
        return None  # one step a run: there is nothing to know
    others = subject.draw(expected.batch, expected.time, 7).inputs
    try:
        found = foreseen(stepper, expected.inputs, others, expected.states, subject.tolerance)
    except RunFailed:  # whatever the runtime says to other values
        return None
    return None if found.passes else f"a step knows what comes after it, by {found.error:.1e}"


def foreseen(
    stepper: Stepper, inputs: Tensors, others: Tensors, states: Tensors, tolerance: Tolerance
) -> Difference:
    """The steps of one run before its middle beside those of another that goes on otherwise.

    Raises what the program raises.
    """
    spec = stepper.spec
    timed = next(each for each in spec.inputs if each.time_axis is not None)
    assert timed.time_axis is not None
    middle = (inputs[timed.name].shape[timed.time_axis] + 1) // 2
    forked = {
        each.name: _forked(inputs[each.name], others[each.name], each.time_axis, middle)
        for each in spec.inputs
    }
    kept = [each for each in spec.outputs if each.time_axis is not None and each.stride is None]
    first, second = (
        {each.name: take_steps(found[each.name], each.axes, 0, middle) for each in kept}
        for found in (stepper.run(given, states).outputs for given in (inputs, forked))
    )
    return tolerance.compare(first, second, Scale.ALIKE)


def _forked(
    first: torch.Tensor, second: torch.Tensor, time: int | None, middle: int
) -> torch.Tensor:
    """`first`, and from the step `middle` on `second`."""
    if time is None:
        return first
    end = first.shape[time]
    return torch.cat(
        [first.narrow(time, 0, middle), second.narrow(time, middle, end - middle)], time
    )
