"""Ragged batches: a padded run beside each row alone, with garbage in the padding."""

import torch

from carousel.export.compare import Difference, difference, worst
from carousel.export.programs import Candidate, Tensors
from carousel.export.reference import Expected, NotAccepted, Reference
from carousel.export.sampling import take_rows, take_steps
from carousel.models.manifest import ParityCase
from carousel.models.spec import BATCH, TIME

_LENGTHS = ((7, 1, 4, 2, 7), (5, 6, 33))
_GARBAGE = 1e3


def measure(candidate: Candidate, reference: Reference) -> list[ParityCase]:
    """Cases that show a program ragged-exact; empty if it is not."""
    layout = reference.layout
    if candidate.lengths is None or not layout.batch or not layout.time:
        return []
    cases: list[ParityCase] = []
    for lengths in _LENGTHS:
        found = _compare(candidate, reference, lengths)
        if not found.passes:
            return []
        cases.append(
            ParityCase(
                program=candidate.kind,
                check="ragged",
                batch=len(lengths),
                time=max(lengths),
                error=found.error,
                bound=found.bound,
            )
        )
    return cases


def _compare(candidate: Candidate, reference: Reference, lengths: tuple[int, ...]) -> Difference:
    sampler = reference.layout.sampler
    values = sampler.draw(len(lengths), max(lengths), seed=77)
    states = {each.name: reference.start(each, values, len(lengths)) for each in reference.states}
    inputs = {
        each.name: _padded(values[each.name], each.axes, lengths) for each in reference.spec.inputs
    }
    try:
        alone = [reference.row(values, row, length) for row, length in enumerate(lengths)]
    except NotAccepted:
        return Difference(float("inf"), 0.0)
    try:
        result = candidate.run(inputs, states, torch.tensor(lengths, dtype=torch.int32))
    except Exception:  # a runtime's own error: the program does not take these lengths
        return Difference(float("inf"), 0.0)
    found = [
        each
        for row, expected in enumerate(alone)
        for each in _row(reference, expected, result.outputs, result.states, row)
    ]
    return worst(found)


def _row(
    reference: Reference, expected: Expected, outputs: Tensors, states: Tensors, row: int
) -> list[Difference]:
    """Row `row` of a padded run, its padding cut off, beside the row alone."""
    found: list[Difference] = []
    for output in reference.spec.outputs:
        own = take_rows(outputs[output.name], output.axes, (row,))
        own = take_steps(own, output.axes, 0, expected.time)
        found.append(difference(expected.outputs[output.name], own))
    for state in reference.spec.states:
        if state.name in states:
            own = take_rows(states[state.name], state.axes, (row,), state.fold)
            found.append(difference(expected.finals[state.name], own))
    return found


def _padded(
    tensor: torch.Tensor, axes: tuple[object, ...], lengths: tuple[int, ...]
) -> torch.Tensor:
    """`tensor` with garbage beyond each row's length; token ids and flags stay what they are."""
    if TIME not in axes or not tensor.is_floating_point():
        return tensor
    garbage = tensor.clone()
    front = garbage.movedim((axes.index(BATCH), axes.index(TIME)), (0, 1))  # a view
    for row, length in enumerate(lengths):
        front[row, length:] = _GARBAGE * (1 + front[row, length:].abs())
    return garbage
