"""Integers beside a sequence, which an example may have one value of: other ones are tried too.

What they mean is known of no number but those of the example: a factor, a quota of steps, a mode.
"""

from collections.abc import Iterator

import torch

from carousel.export.errors import ExportRefused
from carousel.export.measured.drift import drift
from carousel.export.measured.sampling import can_hold
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import Expected, Given, NotAccepted, Reference
from carousel.export.programs.faults import RunFailed, fault
from carousel.models.spec import InputSpec

_SMALL = (0, 1, 2, 3)
_MOST = 12  # numbers in the code, of those that are tried
_STEPS = 24


def whole_differs(stepper: Stepper, reference: Reference) -> str | None:
    """Whether the whole is answered otherwise than by the original for another integer."""
    return _differs(stepper, reference, chunked=False)


def steps_differ(stepper: Stepper, reference: Reference) -> str | None:
    """The same of single steps."""
    return _differs(stepper, reference, chunked=True)


def _differs(stepper: Stepper, reference: Reference, *, chunked: bool) -> str | None:
    for words, expected in _expected(reference).items():
        given = expected.inputs, expected.states
        try:
            if chunked:
                found = stepper.run_chunks(*given, [1] * expected.time)
            else:
                found = stepper.run_whole(*given, expected.time)
        except RunFailed as failed:
            return f"with {words} the program fails, and the original does not ({fault(failed)})"
        wanted = expected.result.outputs
        far = expected.subject.tolerance.compare(
            wanted, found.outputs, roundings=[expected.rounding]
        )
        if not far.passes and drift(expected, found.outputs, names=wanted) is None:
            return f"with {words} the original answers otherwise, by {far.error:.1e}"
    return None


def _expected(reference: Reference) -> dict[str, Expected]:
    """The original with each of them, as far as it takes them; in every row the same."""
    if reference.settings is None:
        reference.settings = dict(_run(reference))
    return reference.settings


def _run(reference: Reference) -> Iterator[tuple[str, Expected]]:
    subject, spec = reference.subject, reference.subject.spec
    batch, time = 2 * spec.has_batch, _STEPS * spec.has_time
    if reference.costs_too_much(batch, time):
        return
    for each in spec.inputs:
        if not _is_setting(each):
            continue
        given = subject.draw(batch, time, 41)
        value = given.inputs[each.name]
        numbers = [*_SMALL, int(value.max()) + 1 if value.numel() else 0]
        numbers += sorted(reference.steps)[:_MOST]
        for number in dict.fromkeys(numbers):
            if not _may_be(each, value, number):
                continue
            other = Given({**given.inputs, each.name: torch.full_like(value, number)}, given.states)
            try:
                yield f"{each.name} of {number}", reference.run(other, batch, time)
            except (NotAccepted, ExportRefused):  # whatever it says to such a number
                continue


def _is_setting(spec: InputSpec) -> bool:
    """Whether it is an integer that no step has of its own, that is sent, and is no length."""
    plain = spec.dtype.startswith(("int", "uint"))
    return (
        plain
        and not (spec.time_axis is not None or spec.counts_steps or spec.context)
        and (spec.constant is None)
    )


def _may_be(spec: InputSpec, value: torch.Tensor, number: int) -> bool:
    low, high = spec.low, spec.high
    inside = (low is None or low <= number) and (high is None or number <= high)
    return inside and can_hold(value.dtype, float(number))
