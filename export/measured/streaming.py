"""The streaming kind: measured with chunks of one step, and with a last chunk of one.

Halves would hide a seam: a convolution before an LSTM passes 50|50 at 3e-8 and fails 99|1 at 2e-2.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import torch

from carousel.export.errors import ExportRefused
from carousel.export.measured.cases import Cases, flat
from carousel.export.measured.rows import LOUD, joined, own_rounding, places, take
from carousel.export.measured.sampling import take_steps
from carousel.export.measured.stepper import Result, Stepper
from carousel.export.measured.subject import Expected, Given, NotAccepted, Reference, only
from carousel.export.measured.tolerance import (
    FAR,
    Difference,
    Rounding,
    Scale,
    Tensors,
    Tolerance,
)
from carousel.export.programs.candidate import Candidate
from carousel.export.programs.faults import RunFailed, fault
from carousel.models.spec import BATCH, InputSpec, ModelSpec, Streaming

_TIMES = ((7, 100), (2,))  # where neither of the first is accepted, the second
_BATCH = 3
_LONGEST_UNUSUAL = 16
_TURNS = 3


@dataclass(frozen=True, slots=True)
class Streams:
    """What was measured: the kind, why not if it is `none`, and the cases that show it."""

    kind: Streaming
    reason: str | None
    cases: Cases | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """How far chunks are from the whole, in words too: what the runtime said if it failed."""

    found: Difference
    text: str


@dataclass(frozen=True, slots=True)
class Unusual:
    """Inputs with a word for them, and how many times as loud they are."""

    words: str
    inputs: Tensors
    loud: float


def measure(candidate: Candidate, reference: Reference, least: int | None) -> Streams:
    """The streaming kind of one program that takes `least` steps; outputs and final states both
    count.
    """
    subject = reference.subject
    spec, never = subject.spec, subject.never_streams()
    if never is not None:
        return Streams("none", never)
    if not spec.states:
        return Streams("none", subject.explain("the model keeps no state"))
    if spec.is_framed:
        return Streams("step", None)
    if any(each.stride is not None for each in spec.outputs):
        longer = any((each.stride or 1) > 1 for each in spec.outputs)
        how = "at longer intervals than inputs" if longer else "for other time steps than inputs"
        return Streams("none", f"outputs come {how}")
    if least is not None:
        few = f"the {subject.noun} takes no sequence of fewer than {least} steps"
        return Streams("none", subject.explain(few))
    cases, sizes = Cases(candidate.kind), _sizes(reference)
    for expected in sizes:
        for check, chunks in _chunkings(spec, expected.time).items():
            held = chunked(candidate.stepper, expected, chunks)
            if not held.found.passes:
                text = f"chunks differ from the whole ({check} at T={expected.time}: {held.text})"
                return Streams("none", subject.explain(text))
            cases.add(check, expected.batch, expected.time, held.found)
        knows = _foreseen(candidate, expected, reference)
        knows = knows or _remembers(candidate, expected, reference)
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


def chunked(
    stepper: Stepper,
    expected: Expected,
    chunks: Sequence[int],
    hand_on: Mapping[str, str] | None = None,
) -> Held:
    """Whether chunks equal the whole."""
    try:
        result = stepper.run_chunks(expected.inputs, expected.states, chunks, hand_on)
    except Exception as error:  # a runtime's own error: the program cannot take the chunk
        return Held(FAR, fault(error))
    wanted = expected.tensors()

    before, after = places(stepper.spec)
    values = {**expected.inputs, **expected.states}
    run = flat(stepper, expected.time)
    roundings: list[Rounding] = [expected.rounding]
    if stepper.spec.has_batch:
        roundings.append(partial(own_rounding, run, before, after, values, 0))
    found = only(result.all(), wanted)
    far = expected.subject.tolerance.compare(wanted, found, Scale.SMALL, roundings)
    return Held(far, f"error {far.error:.1e}")


def _remembers(candidate: Candidate, expected: Expected, reference: Reference) -> str | None:
    """Whether unusual steps show more memory than the states have: loud ones, silent ones, and
    integers anywhere that they may be.
    """
    if expected.time > _LONGEST_UNUSUAL:
        return None
    spec = candidate.stepper.spec
    unusual = list(_unusual(spec, expected))
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
        found = tolerance.compare(
            wanted, take(only(chunks.all(), wanted), after, rows), roundings=[alone.rounding]
        )
        if not found.passes:
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


def _foreseen(candidate: Candidate, expected: Expected, reference: Reference) -> str | None:
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
