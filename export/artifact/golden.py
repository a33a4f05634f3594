"""The golden example: stored inputs, and what the subject itself makes of them."""

from contextlib import suppress

import torch
from safetensors.torch import save

from carousel.export.measured.sampling import take_steps
from carousel.export.measured.subject import Given, NotAccepted, Subject
from carousel.export.measured.tolerance import Tensors

_BATCH = 2
_BEFORE = 3  # steps in front of the golden ones, so that hidden states are not where they start
_SEED = 2


def golden(subject: Subject, *, streams: bool) -> bytes:
    """Golden tensors as a safetensors file, named as `Manifest` says."""
    spec = subject.spec
    batch = _BATCH if spec.has_batch else 0
    if streams and spec.has_time and not subject.starts_anywhere:
        with suppress(NotAccepted):  # what says how long rows are does not fit the first steps
            return _continued(subject, batch, subject.lengths_that_run()[0])
    for time in subject.lengths_that_run():
        given = subject.draw(batch, time if spec.has_time else 0, _SEED)
        given = Given(given.inputs, {**given.states, **subject.settled_states(batch)})
        try:
            result = subject.run(given)
        except NotAccepted:  # so short a sequence
            continue
        states = {**subject.start(given, batch), **given.states}
        return _saved(given.inputs, states, result.outputs, subject.after(given, batch, result))
    raise AssertionError("the subject ran at one of these sizes before")


def _continued(subject: Subject, batch: int, time: int) -> bytes:
    """The last steps of a longer run of the original: its state after the first is the start."""
    spec = subject.spec
    given = subject.draw(batch, _BEFORE + time, _SEED)
    first = {
        each.name: take_steps(given.inputs[each.name], each.axes, 0, _BEFORE)
        for each in spec.inputs
    }
    begun = Given(first, given.states)
    before, whole = subject.run(begun), subject.run(given)
    inputs, outputs = (
        {
            each.name: take_steps(values[each.name], each.axes, _BEFORE, _BEFORE + time)
            for each in specs
        }
        for specs, values in ((spec.inputs, given.inputs), (spec.outputs, whole.outputs))
    )
    start = subject.start(given, batch)
    reached = subject.after(begun, batch, before)
    return _saved(inputs, {**start, **reached}, outputs, subject.after(given, batch, whole))


def _saved(inputs: Tensors, states: Tensors, outputs: Tensors, after: Tensors) -> bytes:
    tensors: dict[str, torch.Tensor] = {}
    for kind, values in (
        ("input", inputs),
        ("state", states),
        ("output", outputs),
        ("state_out", after),
    ):
        tensors |= {f"{kind}.{name}": each.clone().contiguous() for name, each in values.items()}
    return save(tensors)
