"""States that are taken along and that nothing reads."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from carousel.export.lifting.plan import Plan
from carousel.export.lifting.step import Tensors
from carousel.export.lifting.trial import Trial
from carousel.export.lifting.ways import start_of

_NOISE = (1.0, 1e2, 1e4)  # that changes not one bit of anything but the state's own new value


def without_idle(plan: Plan, trial: Trial, batch: int) -> Plan:
    """The plan without the pairs whose values change nothing."""
    values = trial.draw(batch, plan.copies, 3)
    one = trial.part(values, 0, 1)
    start = start_of(plan, trial.record(values), batch)
    assert start is not None, "the plan held"
    generator = torch.Generator().manual_seed(3)
    states = [_noisy(each, 1.0, generator) for each in start]
    idle = [
        index
        for index in range(len(plan.pairs))
        if all(
            _is_idle(plan, trial, one, states, index, _noisy(states[index], noise, generator))
            for noise in _NOISE
        )
    ]
    kept = [pair for index, pair in enumerate(plan.pairs) if index not in idle]
    if plan.copies > 1:
        # A loop that remembers nothing is a stream all the same.
        return replace(plan, pairs=tuple(kept)) if kept or plan.scans else plan
    # A start that is written down is hardly idle: it may look so beside a bound that it seldom
    # meets. Where all are, there is none.
    return plan if kept or plan.scans else replace(plan, pairs=())


def _is_idle(
    plan: Plan,
    trial: Trial,
    values: Tensors,
    states: Sequence[torch.Tensor],
    index: int,
    other: torch.Tensor,
) -> bool:
    """Whether one state may be another and all else stays as it is."""
    step = trial.step(plan)
    found, after = trial.advance(step, values, states)
    changed = [other if place == index else each for place, each in enumerate(states)]
    again, later = trial.advance(step, values, changed)
    others = [place for place in range(len(after)) if place != index]
    return all(torch.equal(found[name], again[name]) for name in found) and all(
        torch.equal(after[place], later[place]) for place in others
    )


def _noisy(state: torch.Tensor, scale: float, generator: torch.Generator) -> torch.Tensor:
    if state.dtype == torch.bool:
        return torch.ones_like(state)  # that a state has begun: else it is not read
    if not state.is_floating_point():
        return state
    noise = torch.randn(state.shape, generator=generator, dtype=torch.float64)
    return state + (scale * noise).to(state.dtype)
