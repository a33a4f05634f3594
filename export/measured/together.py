"""Sessions that began apart, in one run: a server puts the states of each behind the other, and a
forward that lays its rows otherwise (`torch.cat([x, y])` through one layer) would give each the
states of others.
"""

from collections.abc import Mapping
from functools import partial

import torch

from carousel.export.measured.cases import flat
from carousel.export.measured.rows import joined, own_rounding, places, take
from carousel.export.measured.sampling import take_steps
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import Given, Reference, only
from carousel.export.measured.tolerance import Scale, Tensors
from carousel.export.programs.faults import RunFailed

_AFTER = (1, 2, 4)  # frames or steps that each of three sessions has had
_TIMES = 7  # each is there: a sort of few rows leaves in their order what one of many does not


def differ_together(stepper: Stepper, reference: Reference) -> bool:
    """Whether a step of several sessions is another than each alone; of a stream."""
    spec, subject = stepper.spec, reference.subject
    kept = [each for each in spec.states if not each.fixed]
    if not (spec.has_batch and kept) or reference.costs_too_much(_TIMES * len(_AFTER), 1):
        return False
    before, after = places(spec)
    time = max(_AFTER) + 1 if spec.has_time else 0
    states, inputs, wanted = list[Tensors](), list[Tensors](), list[Tensors]()
    for row, steps in enumerate(_AFTER):
        given = [_row(reference, row, frame, time) for frame in range(1 if time else steps + 1)]
        now = {**subject.start(given[0], 1), **given[0].states}
        for index in range(steps + 1):
            one = given[0].inputs if time else given[index].inputs
            if time:
                one = {
                    each.name: take_steps(one[each.name], each.axes, index, index + 1)
                    for each in spec.inputs
                }
                one |= _counts(stepper, one)
            try:
                found = stepper.run(one, now)
            except RunFailed:  # what it says to such values
                return False
            if index == steps:
                states.append(now)
                inputs.append(one)
                wanted.append(found.all())
            now = {**now, **found.states}
    try:
        rows = joined(before, inputs * _TIMES), joined(before, states * _TIMES)
        together = stepper.run(*rows).all()
    except RunFailed:
        return True
    run, tolerance = flat(stepper, min(time, 1)), subject.tolerance
    for row, each in enumerate(wanted * _TIMES):
        own = take(only(together, each), after, (row,))
        values = {**inputs[row % len(inputs)], **states[row % len(states)]}
        rounding = partial(own_rounding, run, before, after, values, 0)
        if not tolerance.compare(each, own, Scale.SMALL, [rounding]).passes:
            return True
    return False


def _row(reference: Reference, row: int, frame: int, time: int) -> Given:
    """Inputs of one session, which has others than the sessions beside it."""
    return reference.subject.draw(1, time, 70 + 10 * row + frame)


def _counts(stepper: Stepper, one: Mapping[str, torch.Tensor]) -> Tensors:
    """Lengths of one step."""
    names = [each.name for each in stepper.spec.inputs if each.counts_steps]
    return {name: torch.ones_like(one[name]) for name in names}
