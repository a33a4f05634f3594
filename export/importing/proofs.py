"""Proof of states by running: in chunks beside the whole where there is a time axis, frame after
frame where there is none; and what a state is worth: the answers when it is not handed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from export.compare import Difference
from export.errors import ExportRefused
from export.importing.bounds import compare, largest
from export.importing.draws import Draws
from export.importing.faults import fault
from export.importing.stepper import Stepper
from export.programs import Tensors
from export.sampling import take_rows
from models.spec import BATCH, StateSpec, TensorSpec

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
    found = compare(spec, [whole.outputs, whole.states], [parts.outputs, parts.states])
    return Held(found, f"error {found.error:.1e}")


def holds(stepper: Stepper, draws: Draws, swap: dict[str, str] | None = None) -> Held:
    """Chunks of one step, and a last chunk of one: halves would hide a seam."""
    ones = chunked(stepper, draws, STEPS, [1] * STEPS, swap)
    return ones if not ones.passes else chunked(stepper, draws, STEPS, [STEPS - 1, 1], swap)


def coupled(stepper: Stepper, draws: Draws, time: int) -> str | None:
    """What shows that rows are not independent; None if nothing does.

    Row 1 is compared among two sets of neighbours, and with itself alone.
    """
    spec = stepper.spec
    own = draws.inputs(spec, 3, time, 11), draws.states(spec, 3, 12)
    strangers = draws.inputs(spec, 3, time, 13), draws.states(spec, 3, 14)
    kinds: tuple[Sequence[TensorSpec], ...] = (spec.inputs, spec.states)
    mixed = [_mix(*each) for each in zip(kinds, own, strangers, strict=True)]
    alone = [_row(kind, mine, 1) for kind, mine in zip(kinds, own, strict=True)]
    try:
        whole, among, single = (stepper.run(*each) for each in (own, mixed, alone))
    except Exception as error:  # whatever the runtime says to other rows, or to one
        return f"it does not run with other rows ({fault(error)})"
    for kind, expected, first, second in (
        (spec.outputs, whole.outputs, among.outputs, single.outputs),
        (spec.states, whole.states, among.states, single.states),
    ):
        for each in kind:
            wanted = _row([each], expected, 1)
            for found, row in ((first, 1), (second, 0)):
                if found[each.name].dim() != len(each.axes):
                    return f"{each.name} loses an axis at one row"
                if not compare(spec, [wanted], [_row([each], found, row)]).passes:
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


def _row(kind: Sequence[TensorSpec], values: Tensors, row: int) -> Tensors:
    return {
        each.name: take_rows(values[each.name], each.axes, (row,), _fold(each)) for each in kind
    }


def _mix(kind: Sequence[TensorSpec], mine: Tensors, theirs: Tensors) -> Tensors:
    return {each.name: _between(each, mine[each.name], theirs[each.name]) for each in kind}


def _between(spec: TensorSpec, mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Row 1 of `mine` between rows 0 and 2 of `theirs`."""
    if BATCH not in spec.axes:
        return mine
    rows = [
        take_rows(each, spec.axes, (row,), _fold(spec))
        for each, row in ((theirs, 0), (mine, 1), (theirs, 2))
    ]
    return torch.cat(rows, spec.axes.index(BATCH))


def _fold(spec: TensorSpec) -> int:
    return spec.fold if isinstance(spec, StateSpec) else 1
