"""How the runs of a model share the cores: how many at once, and of how many rows."""

import os
from dataclasses import dataclass

from carousel.service.engine.cost_curve import CostCurve

_ANY = 1 << 30
# A run that takes less ends before another thread would have begun with it, as it were.
_WORTH_A_LANE_S = 300e-6


@dataclass(frozen=True, slots=True)
class Pace:
    """`lanes`: threads that run programs beside the engine's own, none for a machine of one core;
    `rows`: the most rows of a run where another may go on beside it.
    """

    lanes: int = 0
    rows: int = _ANY

    @property
    def num_runs(self) -> int:
        """The most runs under way at once."""
        return max(1, self.lanes)

    def may_begin(self, num_waiting: int, num_running: int) -> bool:
        """Whether a run begins for what waits. Beside another of its kind not for a few rows: they
        would take about as long as many, and more come while they wait.
        """
        return num_waiting > 0 and (num_running == 0 or 2 * num_waiting >= self.rows)

    def is_long(self, seconds: float) -> bool:
        """Whether a run that takes about so long is for a lane."""
        return self.lanes > 0 and seconds >= _WORTH_A_LANE_S


def choose_pace(cost: CostCurve, lanes: int | None) -> Pace:
    """The pace for a model that costs so much; `lanes` None: one a core where there are several."""
    if lanes is None:
        cores = count_cores()
        lanes = cores if cores > 1 else 0
    return Pace(lanes, cost.best_rows) if lanes else Pace()


def count_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
