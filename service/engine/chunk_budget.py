"""How many time steps fit a chunk's time budget, learnt from the runs that were measured."""

from carousel.service.engine.cost_curve import CostCurve

_FIRST_GUESS_STEPS = 16
_WEIGHT = 0.25


class ChunkBudget:
    """Turns seconds into time steps, per power of two of rows; pure arithmetic, the clock is
    outside.

    A chunk that is new to a row count starts small and at most doubles from run to run, so that one
    wrong guess never holds up the single steps behind it for long.
    """

    def __init__(self, budget_s: float, cost: CostCurve | None = None) -> None:
        """`cost`: what single steps were measured to take, for the first guess."""
        self.budget_s = budget_s
        self._cost = cost
        self._seconds_per_step: dict[int, float] = {}
        self._longest: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<ChunkBudget {self.budget_s * 1000:g} ms rows={sorted(self._seconds_per_step)}>"

    def steps(self, num_rows: int, budgets: int = 1) -> int:
        """The most time steps that a run of `num_rows` rows should take, of so many budgets; at
        least 1.
        """
        bucket = num_rows.bit_length()
        seconds = self._seconds_per_step.get(bucket)
        if seconds is None:
            return self._guess(num_rows)
        fitting = int(budgets * self.budget_s / seconds) if seconds > 0 else 1 << 30
        return max(1, min(fitting, 2 * self._longest[bucket]))

    def _guess(self, num_rows: int) -> int:
        if self._cost is None:
            return _FIRST_GUESS_STEPS
        return max(1, int(self.budget_s / self._cost.seconds(num_rows)))

    def measured(self, num_rows: int, num_steps: int, elapsed_s: float) -> None:
        """Learn from a run of `num_rows` rows and `num_steps` padded time steps."""
        bucket = num_rows.bit_length()
        seconds = elapsed_s / num_steps
        known = self._seconds_per_step.get(bucket, seconds)
        self._seconds_per_step[bucket] = known + _WEIGHT * (seconds - known)
        self._longest[bucket] = max(num_steps, self._longest.get(bucket, _FIRST_GUESS_STEPS))
