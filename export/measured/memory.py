"""Memory that the states do not have: what unusual, later or far earlier steps show of it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from carousel.export.errors import ExportRefused
from carousel.export.measured.chunks import chunked
from carousel.export.measured.drift import drift
from carousel.export.measured.rows import joined, places, take
from carousel.export.measured.sampling import take_steps
from carousel.export.measured.stepper import Result, Stepper
from carousel.export.measured.subject import Expected, Given, NotAccepted, Reference, only
from carousel.export.measured.tolerance import (
    Difference,
    Scale,
    Tensors,
    Tolerance,
)
from carousel.export.measured.unusual import Unusual, unusual_steps
from carousel.export.programs.candidate import Candidate
from carousel.export.programs.faults import RunFailed, fault
from carousel.models.spec import BATCH

_LONGEST_UNUSUAL = 16


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
    halves = [time // 2, time - time // 2]
    held = chunked(stepper, expected, halves)
    if held.found.passes:
        return None
    found = stepper.run_chunks(expected.inputs, expected.states, halves)
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
    unusual = unusual_steps(spec, expected)
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
