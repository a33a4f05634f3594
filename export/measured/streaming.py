"""The streaming kind: measured with chunks of one step, and with a last chunk of one.

Halves would hide a seam: a convolution before an LSTM passes 50|50 at 3e-8 and fails 99|1 at 2e-2.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from carousel.export.errors import ExportRefused
from carousel.export.measured.cases import Cases, flat
from carousel.export.measured.rows import LOUD, louder, own_rounding, places
from carousel.export.measured.sampling import take_steps
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import Expected, NotAccepted, Reference, only
from carousel.export.measured.tolerance import (
    FAR,
    Difference,
    Rounding,
    Scale,
    Tensors,
    Tolerance,
)
from carousel.export.programs.candidate import Candidate
from carousel.export.programs.faults import fault
from carousel.models.spec import ModelSpec, Streaming

_TIMES = ((7, 100), (2,))  # where neither of the first is accepted, the second
_BATCH = 3


@dataclass(frozen=True, slots=True)
class Streams:
    """What was measured: the kind, why not if it is `none`, and the cases that show it."""

    kind: Streaming
    reason: str | None
    cases: Cases | None = None


def measure(candidate: Candidate, reference: Reference) -> Streams:
    """The streaming kind of one program; outputs and final states both count."""
    subject = reference.subject
    spec, never = subject.spec, subject.never_streams()
    if never is not None:
        return Streams("none", never)
    if not spec.states:
        return Streams("none", subject.explain("the model keeps no state"))
    if spec.is_framed:
        return Streams("step", None)
    if any(each.stride is not None for each in spec.outputs):
        return Streams("none", "outputs come at longer intervals than inputs")
    cases, sizes = Cases(candidate.kind), _sizes(reference)
    for expected in sizes:
        for check, chunks in _chunkings(spec, expected.time).items():
            found, text = _chunked(candidate, expected, chunks)
            if not found.passes:
                text = text or f"error {found.error:.1e}"
                text = f"chunks differ from the whole ({check} at T={expected.time}: {text})"
                return Streams("none", subject.explain(text))
            cases.add(check, expected.batch, expected.time, found)
        knows = _foreseen(candidate, expected, reference) or _louder(candidate, expected, reference)
        if knows is not None:
            return Streams("none", subject.explain(knows))
    if not sizes:
        return Streams("none", f"the {subject.noun} takes no sequence of more than one step")
    sequence = any(each.per == "sequence" for each in spec.outputs)
    return Streams("last" if sequence else "step", None, cases)


def _sizes(reference: Reference) -> list[Expected]:
    batch = _BATCH if reference.subject.spec.has_batch else 0
    for times in _TIMES:
        found = [reference.at(batch, time) for time in times]
        if any(found):
            return [each for each in found if each is not None]
    return []


def _chunkings(spec: ModelSpec, time: int) -> dict[str, list[int]]:
    if spec.run_steps is not None:
        return {"chunks 1": [1] * time}
    return {"chunks 1": [1] * time, "chunks T-1|1": [time - 1, 1]}


def _chunked(
    candidate: Candidate, expected: Expected, chunks: Sequence[int]
) -> tuple[Difference, str | None]:
    stepper = candidate.stepper
    try:
        result = stepper.run_chunks(expected.inputs, expected.states, chunks)
    except Exception as error:  # a runtime's own error: the program cannot take the chunk
        return FAR, fault(error)
    wanted = expected.tensors()

    before, after = places(stepper.spec)
    values = {**expected.inputs, **expected.states}
    run = flat(stepper, expected.time)
    roundings: list[Rounding] = [expected.rounding]
    if stepper.spec.has_batch:
        roundings.append(partial(own_rounding, run, before, after, values, 0))
    found = only(result.all(), wanted)
    return expected.subject.tolerance.compare(wanted, found, Scale.SMALL, roundings), None


def _louder(candidate: Candidate, expected: Expected, reference: Reference) -> str | None:
    """Whether chunks differ from the whole where the last step is far louder than the others.

    What is so many times as loud is off so many times as far.
    """
    spec, subject = candidate.stepper.spec, expected.subject
    last = expected.time - 1
    chunks = [1] * expected.time if spec.run_steps is not None else [last, 1]
    usual = subject.tolerance
    for quiet, loud in ((1.0, LOUD), (1 / LOUD, 1)):
        tolerance = Tolerance(usual.relative * loud, usual.ceiling * loud)
        inputs = {
            each.name: _with_loud_step(expected.inputs[each.name], each.time_axis, quiet, loud)
            for each in spec.inputs
        }
        try:
            given = replace(expected.given, inputs=inputs)
            whole = reference.run(given, expected.batch, expected.time)
            result = candidate.stepper.run_chunks(inputs, expected.states, chunks)
        except (NotAccepted, ExportRefused):  # whatever it says to such values
            continue
        wanted = whole.tensors()
        found = tolerance.compare(wanted, only(result.all(), wanted), roundings=[whole.rounding])
        if not found.passes:
            return f"a louder step changes what came before it (chunks differ by {found.error:.1e})"
    return None


def _with_loud_step(
    tensor: torch.Tensor, time: int | None, quiet: float, loud: float
) -> torch.Tensor:
    if time is None:
        return tensor
    last = tensor.shape[time] - 1
    parts = louder(tensor.narrow(time, 0, last), quiet), louder(tensor.narrow(time, last, 1), loud)
    return torch.cat(parts, time)


def _foreseen(candidate: Candidate, expected: Expected, reference: Reference) -> str | None:
    """Whether a step of the program knows what comes after it."""
    stepper, subject = candidate.stepper, reference.subject
    if stepper.spec.run_steps is not None:
        return None  # one step a run: there is nothing to know
    others = subject.draw(expected.batch, expected.time, 7).inputs
    found = foreseen(stepper, expected.inputs, others, expected.states, subject.tolerance)
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
