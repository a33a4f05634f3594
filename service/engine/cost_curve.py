"""What a run of a model costs by its rows: measured at load, kept current by the runs there are."""

from collections.abc import Sequence
from dataclasses import dataclass

_WEIGHT = 0.1


@dataclass(frozen=True, slots=True)
class CostPoint:
    """Seconds of a run of so many rows, for each of its time steps."""

    rows: int
    seconds: float


class CostCurve:
    """Seconds by rows. The shape is as it was measured at load; how fast the machine is at all is
    learnt from every run. Pure arithmetic, the clock is outside.
    """

    def __init__(self, points: Sequence[CostPoint]) -> None:
        """`points`: one at least, by ascending rows."""
        self.points = tuple(points)
        self.scale = 1.0

    def __repr__(self) -> str:
        return f"<CostCurve {len(self.points)} points scale={self.scale:.2f}>"

    def described(self) -> str:
        """What was measured, for a person who reads the log."""
        ends = dict.fromkeys((self.points[0], self.points[-1]))
        texts = (f"{each.seconds * 1e3:.2g} ms at {each.rows}" for each in ends)
        return f"a run's step takes {' and '.join(texts)} rows"

    def seconds(self, num_rows: int) -> float:
        """What a run takes for each of its time steps, as the machine is now."""
        return self.scale * self.shape(num_rows)

    def ran(self, num_rows: int, num_steps: int, seconds: float) -> None:
        """Learn from a run."""
        if seconds <= 0:
            return  # it failed before it began
        now = seconds / num_steps / self.shape(num_rows)
        self.scale += _WEIGHT * (now - self.scale)

    def shape(self, num_rows: int) -> float:
        """The seconds as they were at load: between two points on the line between them, beyond the
        last by its cost for a row.
        """
        below = self.points[0]
        for point in self.points:
            if point.rows >= num_rows:
                if point.rows == below.rows:
                    return point.seconds
                part = (num_rows - below.rows) / (point.rows - below.rows)
                return below.seconds + part * (point.seconds - below.seconds)
            below = point
        return below.seconds * num_rows / below.rows
