"""States that are taken along and that nothing reads."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from carousel.export.lifting.plan import Plan
from carousel.export.lifting.recording import Recording
from carousel.export.lifting.sites import Key
from carousel.export.lifting.step import UNFIT, Tensors
from carousel.export.lifting.trial import Trial
from carousel.export.lifting.ways import start_of
from carousel.export.measured.otherwise import WAYS, Otherwise

_NOISE = (1.0, 1e2, 1e4)  # that changes not one bit of anything but the state's own new value
_STEPS = 6  # one of which may forget the state, whatever it was


def without_idle(plan: Plan, trial: Trial, batch: int) -> Plan:
    """The plan without the pairs whose values change nothing."""
    values = trial.draw(batch, plan.copies, 3)
    drawn = trial.draw(batch, _STEPS, 4)
    steps = [trial.part(drawn, index, index + 1) for index in range(_STEPS)]
    start = start_of(plan, trial.record(values), batch)
    assert start is not None, "the plan held"
    generator = torch.Generator().manual_seed(3)
    states = [_noisy(each, 1.0, generator) for each in start]
    idle = [
        index
        for index in range(len(plan.pairs))
        if all(
            _is_idle(plan, trial, one, states, index, _other(states[index], noise, generator))
            for noise in _NOISE
            for one in steps
        )
        and _is_never_read(plan, trial, steps, states, index)
    ]
    kept = [pair for index, pair in enumerate(plan.pairs) if index not in idle]
    if plan.copies > 1:
        # A loop that remembers nothing is a stream all the same.
        return replace(plan, pairs=tuple(kept)) if kept or plan.scans else plan
    # A start that is written down is hardly idle: it may look so beside a bound that it seldom
    # meets. Where all are, there is none.
    return plan if kept or plan.scans else replace(plan, pairs=())


def _is_never_read(
    plan: Plan, trial: Trial, steps: Sequence[Tensors], states: Sequence[torch.Tensor], index: int
) -> bool:
    """Whether it changes nothing where comparisons come out otherwise either."""
    other = _other(states[index], 1.0, torch.Generator().manual_seed(4))
    for way in range(WAYS if trial.compares_plainly else 0):
        with suppress(*UNFIT), Otherwise(way, gates=True):  # whatever it says to such decisions
            if not all(_is_idle(plan, trial, one, states, index, other) for one in steps):
                return False
    return True


def without_overruled(plan: Plan, one: Recording) -> Plan:
    """The plan without operators along time all of whose outcome is replaced by other states."""
    replaced = {pair.start.key for pair in plan.pairs if pair.start.alone and not pair.begins}
    wanted = {pair.after for pair in plan.pairs}
    made = {(call.site, call.occurrence): call.made for call in one.calls}
    kept = tuple(
        scan
        for scan in plan.scans
        if any(_is_read(key, one, replaced, wanted) for key in made.get(scan.at, ()))
    )
    return replace(plan, scans=kept)


def _is_read(
    key: Key, one: Recording, replaced: Collection[Key], wanted: Collection[object]
) -> bool:
    """Whether an output or a new state is made from a value on a way where nothing replaces it."""
    left, seen = [key], set[Key]()
    while left:
        each = left.pop()
        if each in replaced or each in seen:
            continue
        seen.add(each)
        takers = [call for call in one.calls if any(taken.key == each for taken in call.taken)]
        if each in wanted or not takers:
            return True
        left += [made for call in takers for made in call.made]
    return False


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
    changed = [other if place == index else each for place, each in enumerate(states)]
    found, after = trial.advance(step, values, states)
    try:
        again, later = trial.advance(step, values, changed)
    except UNFIT:  # it is read, if only to be refused
        return False
    others = [place for place in range(len(after)) if place != index]
    return all(torch.equal(found[name], again[name]) for name in found) and all(
        torch.equal(after[place], later[place]) for place in others
    )


def _other(state: torch.Tensor, scale: float, generator: torch.Generator) -> torch.Tensor:
    """Another value of its kind."""
    if state.dtype == torch.bool:
        return ~state
    if not (state.is_floating_point() or state.is_complex()):
        step = torch.randint(1, 4, state.shape, generator=generator)
        return state + (step if scale > 1 else -step).to(state.dtype)
    return _noisy(state, scale, generator)


def _noisy(state: torch.Tensor, scale: float, generator: torch.Generator) -> torch.Tensor:
    if state.dtype == torch.bool:
        return torch.ones_like(state)  # that a state has begun: else it is not read
    if not (state.is_floating_point() or state.is_complex()):
        return state
    noise = torch.randn(state.shape, generator=generator, dtype=torch.float64)
    return state + (scale * noise).to(state.dtype)
