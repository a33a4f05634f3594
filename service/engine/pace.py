"""How the runs of a model share the cores: how many at once, and of how many rows."""

from carousel.service.engine.cores import count_cores
from carousel.service.engine.cost_curve import CostCurve

# A run that takes less is executed on the engine's own thread: each change of threads may have to
# wait for one that is in the interpreter, and three or four waits are as long as such a run.
_WORTH_A_LANE_S = 2e-3
# How much dearer a row may become by splitting what waits: two runs on two cores, and a run beside
# the event loop's work, gain more than that.
_WORTH = 1.15


class Pace:
    """`lanes`: threads that run programs beside the engine's own, none for a machine of one core;
    `cost`: what a run takes, where there are lanes.
    """

    def __init__(self, lanes: int = 0, cost: CostCurve | None = None) -> None:
        self.lanes = lanes
        self.num_runs = max(1, lanes)
        self._cost = cost
        self._rows: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Pace lanes={self.lanes} {self._cost!r}>"

    def rows(self, count: int) -> int:
        """How many rows a run takes of `count`, those that are under way among them.

        All of them where they cost about the same together; else a part, so that each lane has one
        and others are on their way in and out.
        """
        if self.lanes == 0 or self._cost is None or count < 2:
            return count
        known = self._rows.get(count)
        if known is None:
            known = self._rows[count] = self._split(count, self._cost)
        return known

    def _split(self, count: int, cost: CostCurve) -> int:
        rows, most = count, _WORTH * cost.shape(count) / count
        for parts in range(2, 2 * self.lanes + 1):
            part = -(-count // parts)
            if cost.shape(part) / part > most:
                break
            rows = part
        return rows

    def may_begin(self, num_waiting: int, num_running: int) -> bool:
        """Whether a run begins for the rows that wait, beside so many of their kind. Not for a few:
        they would take about as long as many, and more come while they wait.
        """
        if num_running == 0 or num_waiting == 0:
            return num_waiting > 0
        return 2 * num_waiting >= self.rows(num_waiting + num_running)

    def is_run(self, num_admitted: int, count: int) -> bool:
        """Whether so many make a run of the size that is best for `count`, and not for all."""
        return self.lanes > 0 and self.rows(count) <= num_admitted < count

    def is_long(self, seconds: float) -> bool:
        """Whether a run that takes about so long is for a lane."""
        return self.lanes > 0 and seconds >= _WORTH_A_LANE_S


def choose_pace(cost: CostCurve, lanes: int | None) -> Pace:
    """The pace for a model that costs so much; `lanes` None: one a core where there are several."""
    if lanes is None:
        cores = count_cores()
        lanes = cores if cores > 1 else 0
    return Pace(lanes, cost)
