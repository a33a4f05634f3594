"""Rows that count for themselves, at different places in one run."""

import torch

from carousel.export.lifting.candidates import same
from carousel.export.lifting.plan import Plan
from carousel.export.lifting.step import UNFIT
from carousel.export.lifting.trial import Trial
from carousel.export.lifting.ways import start_of

_SHORT = 4  # steps


def stand_apart(plan: Plan, trial: Trial) -> bool:
    """Whether rows that count for themselves may stand at different places in one run."""
    if not any(each.each for each in plan.scans):
        return True
    part = trial.part
    values = trial.draw(2, _SHORT + 3, 9)
    start, larger = (
        start_of(plan, trial.record(part(trial.draw(batch, 1, 9), 0, 1)), batch) for batch in (2, 3)
    )
    if start is None or larger is None:
        return False
    first, second = trial.rows(values, 0), trial.rows(values, 1)
    expected = [
        trial.expected(first, _SHORT + 3)[3:],
        trial.expected(part(second, 3, _SHORT + 3), _SHORT),
    ]
    try:
        step, states = trial.step(plan), start
        for index in range(3):
            _, states = trial.advance(step, part(values, index, index + 1), states)
        states = tuple(map(_renewed, states, start, larger))
        for index in range(_SHORT):
            found, states = trial.advance(step, part(values, index + 3, index + 4), states)
            for row, wanted in enumerate(expected):
                for name, each in wanted[index].items():
                    if not same(each, trial.row_of(name, found[name], row)):
                        return False
    except UNFIT:  # what forward says to a count for each row
        return False
    return True


def _renewed(state: torch.Tensor, start: torch.Tensor, larger: torch.Tensor) -> torch.Tensor:
    """A state of two rows of which the second starts anew; `larger` is the start of three."""
    axes = [axis for axis in range(start.dim()) if start.shape[axis] != larger.shape[axis]]
    if not axes:
        return state
    rows = start.shape[axes[0]] // 2
    return torch.cat([state.narrow(axes[0], 0, rows), start.narrow(axes[0], rows, rows)], axes[0])
