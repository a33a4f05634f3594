"""Ragged batches: a padded run beside each row alone, with zeros in the padding, which is what the
engine puts there, and with garbage of either sign.
"""

from functools import partial

import torch

from carousel.export.measured.cases import Cases, FallsShort, flat
from carousel.export.measured.rows import own_rounding, places, take
from carousel.export.measured.sampling import take_steps
from carousel.export.measured.subject import Given, NotAccepted, Reference, only
from carousel.export.programs.candidate import Candidate
from carousel.models.spec import BATCH, TIME, ModelSpec

_LENGTHS = ((7, 1, 4, 2, 7), (5, 6, 33))
_LOUDNESS = (1.0, 1e-2, 1e-2, 0.0, 10.0)  # of the rows in another run of the first
_PADDING = (0.0, 1e3, -1e3)


def measure(candidate: Candidate, reference: Reference) -> Cases | None:
    """Cases that show a program ragged-exact; None if it is not."""
    spec = reference.subject.spec
    if candidate.lengths is None or not (spec.has_batch and spec.has_time):
        return None
    if any(each.stride is not None for each in spec.outputs):
        return None
    cases = Cases(candidate.kind)
    alike = tuple((lengths, (1.0,) * len(lengths)) for lengths in _LENGTHS)
    for lengths, loudness in (*alike, (_LENGTHS[0], _LOUDNESS)):
        for padding in _PADDING:
            try:
                _compare(candidate, reference, lengths, loudness, padding, cases)
            except (FallsShort, NotAccepted):
                return None
    return cases


def _compare(
    candidate: Candidate,
    reference: Reference,
    lengths: tuple[int, ...],
    loudness: tuple[float, ...],
    padding: float,
    cases: Cases,
) -> None:
    """Every row; raises FallsShort where one differs."""
    subject, spec = reference.subject, reference.subject.spec
    given = subject.draw(len(lengths), max(lengths), seed=77)
    given = Given(
        {name: _as_loud(given.inputs[name], name, spec, loudness) for name in given.inputs},
        given.states,
    )
    states = {**subject.start(given, len(lengths)), **given.states}
    padded = {
        each.name: _padded(given.inputs[each.name], each.axes, lengths, padding)
        for each in spec.inputs
    }
    before, after = places(spec)
    try:
        found = candidate.stepper.run(padded, states, torch.tensor(lengths, dtype=torch.int32))
    except Exception as error:  # a runtime's own error: the program does not take these lengths
        raise FallsShort(str(error)) from error
    for each in spec.outputs:
        if tuple(found.outputs[each.name].shape) != each.model_shape(len(lengths), max(lengths)):
            raise FallsShort(f"{each.name} is {tuple(found.outputs[each.name].shape)}")
    for row, length in enumerate(lengths):
        inputs = take(given.inputs, before, (row,))
        inputs = {
            each.name: take_steps(inputs[each.name], each.axes, 0, length) for each in spec.inputs
        }
        one = Given(inputs, take(given.states, before, (row,)))
        alone = reference.run(one, 1, length)
        own = take(only(found.all(), alone.tensors()), after, (row,))
        for each in spec.outputs:
            own[each.name] = take_steps(own[each.name], each.axes, 0, length)

        values = {**inputs, **take(states, before, (row,))}
        rounding = partial(own_rounding, flat(candidate.stepper, length), before, after, values, 0)
        far = subject.tolerance.compare(alone.tensors(), own, roundings=[alone.rounding, rounding])
        cases.add("ragged", len(lengths), max(lengths), far)


def _as_loud(
    tensor: torch.Tensor, name: str, spec: ModelSpec, loudness: tuple[float, ...]
) -> torch.Tensor:
    """Each row so many times as loud; what is no float as it is."""
    batch = next(each.batch_axis for each in spec.inputs if each.name == name)
    if batch is None or not tensor.is_floating_point():
        return tensor
    sizes = [1] * tensor.dim()
    sizes[batch] = len(loudness)
    return tensor * torch.tensor(loudness, dtype=tensor.dtype).reshape(sizes)


def _padded(
    tensor: torch.Tensor, axes: tuple[object, ...], lengths: tuple[int, ...], padding: float
) -> torch.Tensor:
    """`tensor` with so loud a padding beyond each row's length; token ids and flags are zeros
    there, or stay what they are.
    """
    if TIME not in axes or (padding and not tensor.is_floating_point()):
        return tensor
    garbage = tensor.clone()
    front = garbage.movedim((axes.index(BATCH), axes.index(TIME)), (0, 1))  # a view
    for row, length in enumerate(lengths):
        rest = front[row, length:]
        front[row, length:] = padding * (1 + rest.abs()) if padding else torch.zeros_like(rest)
    return garbage
