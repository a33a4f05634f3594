"""Plans where comparisons come out otherwise, as they seldom do."""

from contextlib import suppress

from carousel.export.lifting.plan import Plan
from carousel.export.lifting.step import UNFIT
from carousel.export.lifting.trial import Trial
from carousel.export.lifting.ways import start_of
from carousel.export.measured.otherwise import WAYS, Otherwise

_STEPS = 12


def holds_seldom(plan: Plan, trial: Trial, batch: int) -> bool:
    """Whether it holds there too: a plan without the state that an alarm resets would not."""
    if not trial.compares_plainly:
        return True
    drawn = trial.draw(batch, _STEPS, 5)
    with suppress(*UNFIT), Otherwise(-1) as look:
        trial.whole(drawn)
    for way in range(WAYS if look.compares or look.shut else 0):
        values = trial.draw(batch, _STEPS, 6 + way)
        start = start_of(plan, trial.record(trial.part(values, 0, plan.copies)), batch)
        try:
            with Otherwise(way, gates=look.shut):
                expected = trial.expected(values, _STEPS)
        except UNFIT:  # whatever it says to such decisions
            continue
        with Otherwise(way, gates=look.shut):
            if start is not None and not trial.holds(plan, values, start, expected):
                return False
    return True
