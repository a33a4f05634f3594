"""Proof of states by running: in chunks beside the whole where there is a time axis, frame after
frame where there is none; and what a state is worth: the answers when it is not handed on.
"""

import math

import torch

from carousel.export import flags
from carousel.export.errors import ExportRefused
from carousel.export.files.steps import NoStep
from carousel.export.measured.cases import flat
from carousel.export.measured.chunks import Held, chunked
from carousel.export.measured.memory import foreseen
from carousel.export.measured.rows import ROWS, Company, coupled, places, unusual
from carousel.export.measured.subject import Expected, Given, NotAccepted, only
from carousel.export.measured.tolerance import FAR, Tensors, largest
from carousel.export.programs.faults import fault
from carousel.export.reading.subject import BY_FLAG, FileSubject
from carousel.models.spec import StateSpec

STEPS = 7
_FRAMES = 16
_IDS = 64  # of the first that an integer input may have, each by itself: one may stand for padding
_SWAPS = 2  # of how many others of its shape a state is told apart by running


def holds(subject: FileSubject, swap: dict[str, str] | None = None, unit: int = 1) -> Held:
    """Chunks of one step, and a last chunk of one: halves would hide a seam. Then the future.

    Where outputs come every few steps, so many are one chunk; `unit` steps anyway. `swap`: which
    states are handed on for which.
    """
    rows, unit = _rows(subject), math.lcm(unit, _unit(subject))
    given = subject.draw(rows, STEPS * unit, 5, anywhere=True)
    others = subject.draw(rows, STEPS * unit, 7).inputs
    try:
        whole = subject.run(given)
    except NotAccepted as error:
        return Held(FAR, f"{error}")
    expected = Expected(rows, STEPS * unit, given, given.states, whole, subject)
    for chunks in ([unit] * STEPS, [(STEPS - 1) * unit, unit]):
        held = chunked(subject.stepper, expected, chunks, swap)
        if not held.found.passes:
            return held
    if swap:
        return held
    try:
        found = foreseen(subject.stepper, given.inputs, others, given.states, subject.tolerance)
    except Exception as error:  # whatever the runtime says to these values
        return Held(FAR, fault(error))
    return Held(found, f"a step knows what comes after it, by {found.error:.1e}")


def compare_rows(subject: FileSubject, time: int) -> Company:
    """What its rows are to each other."""
    own, strangers = (subject.draw(ROWS, time, seed, anywhere=True) for seed in (11, 13))
    given, found = places(subject.spec)
    values = {**own.inputs, **own.states}
    others = {**strangers.inputs, **strangers.states}
    crowds = unusual(others, subject.spans)
    # Silence is that of a session that has just begun.
    crowds["silent"] |= subject.start(strangers, ROWS)
    try:
        return coupled(
            flat(subject.stepper, 0), given, found, values, others, crowds, subject.tolerance
        )
    except Exception as error:  # whatever the runtime says to other rows, or to one
        return Company(f"it does not run with other rows ({fault(error)})")


def check_steps(subject: FileSubject) -> None:
    """Raise ExportRefused where values leave a node no step that would end the process: no length
    that a spec can state keeps them away.
    """
    if not subject.program.may_end:
        return
    usual = subject.draw(_rows(subject), subject.time, 15)
    values = {**usual.inputs, **usual.states}
    constants = [each.name for each in subject.spec.inputs if each.constant is not None]
    crowds = unusual(values, subject.spans, constants)
    for name, (low, high) in subject.spans.items():
        for number in (
            sorted({*range(low, min(low + _IDS, high + 1)), high}) if name in values else ()
        ):
            error = _starved(subject, usual, {name: torch.full_like(values[name], number)})
            if error is not None:
                raise _starving(f"{name} at {number} throughout", error, name, number, (low, high))
    for words, each in crowds.items():
        error = _starved(subject, usual, each)
        if error is not None:
            raise _starving(f"{words} inputs", error)


def _starved(subject: FileSubject, usual: Given, values: Tensors) -> NoStep | None:
    """What a run on these values beside the usual ones says of a node that would end it."""
    try:
        subject.stepper.run(
            {**usual.inputs, **only(values, usual.inputs)},
            {**usual.states, **only(values, usual.states)},
        )
    except NoStep as error:
        return error if error.ends else None
    except Exception:  # whatever else the runtime says to such values
        return None
    return None


def _starving(
    words: str, error: NoStep, name: str = "", number: int = 0, span: tuple[int, int] = (0, 0)
) -> ExportRefused:
    low, high = span[0] + (number == span[0]), span[1] - (number == span[1])
    spared = flags.span(name, low, high) if (low, high) != span and low <= high else ""
    return ExportRefused(
        f"with {words} {fault(error)}, and ONNX Runtime ends the process that runs it so",
        f"{spared and f'say {spared} if clients never send {number}; or '}export it so that a step "
        "is left whatever the values are, or with an LSTM instead, which answers there",
    )


def evidence(subject: FileSubject) -> dict[str, str]:
    """What each state is worth; raises ExportRefused for one whose handing on changes nothing."""
    if any(each.time_axis is not None for each in subject.spec.inputs):
        return {each.name: _in_chunks(subject, each) for each in _changing(subject)}
    return {each.name: _in_frames(subject, each) for each in _changing(subject)}


def _in_chunks(subject: FileSubject, state: StateSpec) -> str:
    """The error of chunks that start this state anew, or hand on another of its shape."""
    unit, stepper = _unit(subject), subject.stepper
    given = subject.draw(_rows(subject), STEPS * unit, 5, anywhere=True)
    whole = stepper.run(given.inputs, given.states)
    anew = stepper.run_chunks(given.inputs, given.states, [unit] * STEPS, reset=(state.name,))
    lost = largest(whole.outputs, anew.outputs)
    said = f"chunks equal the whole; not handed on: {lost:.1e} off"
    shape = (state.axes, state.dtype, state.fold)
    others = [each for each in _changing(subject) if each.name != state.name]
    alike = [each.name for each in others if (each.axes, each.dtype, each.fold) == shape]
    for other in alike[:_SWAPS]:
        swapped = holds(subject, {state.name: other, other: state.name})
        said += f"; swapped with {other}: {'equal' if swapped.found.passes else swapped.text}"
    return said


def _in_frames(subject: FileSubject, state: StateSpec) -> str:
    """How far answers are off when this state starts anew at every frame."""
    batch, stepper = _rows(subject), subject.stepper
    given = [subject.draw(batch, 0, 20 + step) for step in range(_FRAMES)]
    frames, start = [each.inputs for each in given], given[0].states
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
    said = subject.why.get(state.name) == BY_FLAG
    sent = flags.sent([state.name])
    raise ExportRefused(
        f"the pair does not hold: handing on {state.output} back at {state.name} changes nothing "
        f"in {_FRAMES} frames",
        f"{'in place of the pair that was said, ' if said else ''}say {sent} if clients send it, "
        f"or {flags.states({state.name: 'OUTPUT'})} with another output",
    )


def _changing(subject: FileSubject) -> list[StateSpec]:
    return [each for each in subject.spec.states if not each.fixed]


def _unit(subject: FileSubject) -> int:
    """After how many steps every output has come anew."""
    return math.lcm(*(each.stride or 1 for each in subject.spec.outputs))


def _rows(subject: FileSubject) -> int:
    return ROWS if subject.spec.has_batch else 0
