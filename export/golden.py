"""The golden example: stored inputs, and what the untouched module makes of them."""

import torch
from safetensors.torch import save

from carousel.export.programs import Tensors
from carousel.export.reference import Expected, NotAccepted, Reference
from carousel.export.sampling import take_steps

_BATCH = 2
_TIME = 4
_BEFORE = 3  # steps in front of the golden ones, so that hidden states are not where they start


def golden(reference: Reference, streamable: bool) -> bytes:
    """Golden tensors as a safetensors file, named as `Manifest` says."""
    expected = _example(reference, streamable)
    tensors: Tensors = {}
    for kind, values in (
        ("input", expected.inputs),
        ("state", expected.states),
        ("output", expected.outputs),
        ("state_out", expected.finals),
    ):
        tensors |= {f"{kind}.{name}": each.clone().contiguous() for name, each in values.items()}
    return save(tensors)


def initial(reference: Reference) -> bytes | None:
    """Initial values that are not zeros as a safetensors file; None if all are."""
    stored = {
        each.name: each.initial.contiguous()
        for each in reference.states
        if each.initial is not None
    }
    return save(stored) if stored else None


def _example(reference: Reference, streamable: bool) -> Expected:
    batch = _BATCH if reference.layout.batch else 0
    steps = reference.spec.run_steps or _TIME
    time = steps if reference.layout.time else 0
    hidden = any(each.argument is None for each in reference.states)
    if streamable and time and hidden:
        return _continued(reference, batch, time)
    for length in (time, *(each.time for each in reference.layout.probes)):
        try:
            values = reference.layout.sampler.draw(batch, length, seed=2)
            states = reference.random_states(batch, seed=2)
            return reference.run(values, states, batch, length)
        except NotAccepted:  # so short a sequence
            continue
    raise AssertionError("the module ran at its example's size before")


def _continued(reference: Reference, batch: int, time: int) -> Expected:
    """The last steps of a longer run of the original: its state after the first is the start."""
    sampler = reference.layout.sampler
    values = sampler.draw(batch, _BEFORE + time, seed=2)
    parts = {
        name: take_steps(each, sampler.axes[name], 0, _BEFORE) for name, each in values.items()
    }
    if sampler.lengths is not None:
        parts[sampler.lengths] = torch.full_like(values[sampler.lengths], _BEFORE)
    before = reference.run(parts, {}, batch, _BEFORE)
    whole = reference.run(values, {}, batch, _BEFORE + time)
    inputs, outputs = (
        {
            each.name: take_steps(values[each.name], each.axes, _BEFORE, _BEFORE + time)
            for each in specs
        }
        for specs, values in (
            (reference.spec.inputs, whole.inputs),
            (reference.spec.outputs, whole.outputs),
        )
    )
    states = {**before.states, **before.finals}
    return Expected(batch, time, inputs, states, outputs, whole.finals)
