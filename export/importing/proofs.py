"""Proof of states by running: in chunks beside the whole where there is a time axis, frame after
frame where there is none; and what a state is worth: the answers when it is not handed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from carousel.export.compare import Difference
from carousel.export.errors import ExportRefused
from carousel.export.importing.bounds import largest
from carousel.export.importing.draws import Draws
from carousel.export.importing.faults import fault
from carousel.export.importing.neighbours import Neighbours, take_row
from carousel.export.importing.scales import compare_alike, compare_small
from carousel.export.importing.stepper import Stepper
from carousel.export.programs import Result
from carousel.export.sampling import take_steps
from carousel.models.spec import ModelSpec, StateSpec

STEPS = 7
_FRAMES = 16
_BATCH = 3
_SWAPS = 2  # of how many others of its shape a state is told apart by running


@dataclass(frozen=True, slots=True)
class Held:
    """How far chunks are from the whole, and what the runtime said where it did not run."""

    found: Difference
    text: str

    @property
    def passes(self) -> bool:
        """Whether chunks equal the whole."""
        return self.found.passes


def chunked(
    stepper: Stepper,
    draws: Draws,
    time: int,
    chunks: Sequence[int],
    swap: dict[str, str] | None = None,
) -> Held:
    """Whole sequences beside the same in chunks, states handed on (as `swap` says)."""
    spec = stepper.spec
    batch = _rows(stepper)
    inputs, states = draws.inputs(spec, batch, time, 5), draws.states(spec, batch, 6)
    try:
        whole = stepper.run(inputs, states)
        parts = stepper.run_chunks(inputs, states, chunks, swap)
    except Exception as error:  # whatever the runtime says to a chunk that it does not take
        return Held(Difference(float("inf"), 0.0), fault(error))
    found = compare_small(spec, [whole.outputs, whole.states], [parts.outputs, parts.states])
    return Held(found, f"error {found.error:.1e}")


def holds(stepper: Stepper, draws: Draws, swap: dict[str, str] | None = None) -> Held:
    """Chunks of one step, and a last chunk of one: halves would hide a seam. Then the future."""
    held = chunked(stepper, draws, STEPS, [1] * STEPS, swap)
    if held.passes:
        held = chunked(stepper, draws, STEPS, [STEPS - 1, 1], swap)
    return held if not held.passes or swap else foreseen(stepper, draws, STEPS)


def foreseen(stepper: Stepper, draws: Draws, time: int) -> Held:
    """The steps of one run before its middle beside those of another that goes on otherwise."""
    spec, middle = stepper.spec, (time + 1) // 2
    batch = _rows(stepper)
    states = draws.states(spec, batch, 6)
    inputs, others = (draws.inputs(spec, batch, time, seed) for seed in (5, 7))
    forked = {
        each.name: _forked(inputs[each.name], others[each.name], each.time_axis, middle)
        for each in spec.inputs
    }
    kept = [each for each in spec.outputs if each.time_axis is not None]
    try:
        both = [stepper.run(given, states).outputs for given in (inputs, forked)]
    except Exception as error:  # whatever the runtime says to these values
        return Held(Difference(float("inf"), 0.0), fault(error))
    first, second = (
        {each.name: take_steps(found[each.name], each.axes, 0, middle) for each in kept}
        for found in both
    )
    found = compare_alike(spec, [first], [second])
    return Held(found, f"a step knows what comes after it, by {found.error:.1e}")


def coupled(stepper: Stepper, draws: Draws, time: int) -> str | None:
    """What shows that rows are not independent; None if nothing does.

    Row 1 is compared among other neighbours, with itself alone, and among neighbours that are loud
    or silent: a gain that follows the loudest of a batch mixes rows only where one is loud.
    """
    spec = stepper.spec
    own, others = (Neighbours.draw(spec, draws, time, seed) for seed in (11, 13))
    try:
        whole, among, single = (
            stepper.run(each.inputs, each.states)
            for each in (own, own.among(spec, others), own.alone(spec))
        )
    except Exception as error:  # whatever the runtime says to other rows, or to one
        return f"it does not run with other rows ({fault(error)})"
    found = _heard(spec, whole, single, 0) or _heard(spec, whole, among, 1)
    for crowd in others.unusual(spec, draws):
        if found is not None:
            break
        given = own.among(spec, crowd)
        try:
            beside = stepper.run(given.inputs, given.states)
        except Exception:  # whatever the runtime says: a run that fails mixes nothing
            continue
        found = _heard(spec, whole, beside, 1)
    return found


def _heard(spec: ModelSpec, whole: Result, found: Result, row: int) -> str | None:
    """How row 1 of the whole differs from `row` of another run, 0 where it ran alone."""
    near = compare_small if row == 0 else compare_alike
    for kind, expected, actual in (
        (spec.outputs, whole.outputs, found.outputs),
        (spec.states, whole.states, found.states),
    ):
        for each in kind:
            if actual[each.name].dim() != len(each.axes):
                return f"{each.name} loses an axis at one row"
            wanted, given = take_row([each], expected, 1), take_row([each], actual, row)
            if not near(spec, [wanted], [given]).passes:
                return f"a row of {each.name} depends on the rows beside it"
    return None


def evidence(stepper: Stepper, draws: Draws) -> dict[str, str]:
    """What each state is worth; raises ExportRefused for one whose handing on changes nothing."""
    if any(each.time_axis is not None for each in stepper.spec.inputs):
        return {each.name: _in_chunks(stepper, draws, each) for each in _changing(stepper)}
    return {each.name: _in_frames(stepper, draws, each) for each in _changing(stepper)}


def _in_chunks(stepper: Stepper, draws: Draws, state: StateSpec) -> str:
    """The error of chunks that start this state anew, or hand on another of its shape."""
    spec = stepper.spec
    batch = _rows(stepper)
    inputs, states = draws.inputs(spec, batch, STEPS, 5), draws.states(spec, batch, 6)
    whole = stepper.run(inputs, states)
    anew = stepper.run_chunks(inputs, states, [1] * STEPS, reset=(state.name,))
    lost = largest(whole.outputs, anew.outputs)
    said = f"chunks equal the whole; not handed on: {lost:.1e} off"
    shape = (state.axes, state.dtype, state.fold)
    others = [each.name for each in _changing(stepper) if each.name != state.name]
    alike = [
        each.name
        for each in _changing(stepper)
        if each.name in others and (each.axes, each.dtype, each.fold) == shape
    ]
    for other in alike[:_SWAPS]:
        swapped = holds(stepper, draws, {state.name: other, other: state.name})
        said += f"; swapped with {other}: {'equal' if swapped.passes else swapped.text}"
    return said


def _in_frames(stepper: Stepper, draws: Draws, state: StateSpec) -> str:
    """How far answers are off when this state starts anew at every frame."""
    spec = stepper.spec
    batch = _rows(stepper)
    frames = [draws.inputs(spec, batch, 0, 20 + step) for step in range(_FRAMES)]
    start = {each.name: draws.start(each, each.fold, batch) for each in spec.states}
    kept = stepper.run_frames(frames, start)
    anew = stepper.run_frames(frames, start, reset=(state.name,))
    pairs = list(zip(kept, anew, strict=True))
    lost = max(largest(one.outputs, other.outputs) for one, other in pairs)
    if lost > 0:
        return f"not handed on: {lost:.1e} off within {_FRAMES} frames"
    moved = max(largest(one.states, other.states) for one, other in pairs)
    if moved > 0:
        return f"not handed on: other states only, no output within {_FRAMES} frames"
    if state.context_of is not None:
        raise ExportRefused(
            f"what stands in front of {state.context_of} changes nothing in {_FRAMES} frames",
            "leave out --context, or name more samples",
        )
    raise ExportRefused(
        f"the pair does not hold: handing on {state.output} back at {state.name} changes nothing "
        f"in {_FRAMES} frames",
        f"name another output with --state {state.name}=OUTPUT, or --sent {state.name} if clients "
        "send it",
    )


def _changing(stepper: Stepper) -> list[StateSpec]:
    return [each for each in stepper.spec.states if not each.fixed]


def _rows(stepper: Stepper) -> int:
    return _BATCH if stepper.spec.has_batch else 0


def _forked(
    first: torch.Tensor, second: torch.Tensor, time: int | None, middle: int
) -> torch.Tensor:
    """`first`, and from the step `middle` on `second`."""
    if time is None:
        return first
    size = first.shape[time]
    return torch.cat(
        [first.narrow(time, 0, middle), second.narrow(time, middle, size - middle)], time
    )
