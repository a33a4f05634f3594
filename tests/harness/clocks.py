"""Clocks of sessions that go as a test says."""

from carousel.service.sessions.clock import GRACE_S, Reading
from carousel.service.sessions.clock import Clock as RealClock


class Clock(RealClock):
    """Seconds that pass only when a test says so; a clock that nobody doubts."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now
        super().__init__(Reading(now, now, now), steady=lambda: self.now)
        self.is_settled = True


class Machine:
    """A machine whose two clocks go as a test says: `pass_` for both, `set` for the wall clock."""

    def __init__(self, wall: float = 1_000_000.0) -> None:
        self.wall = wall
        self.steady = 5_000.0

    def read(self) -> Reading:
        """What is on its wall clock."""
        return Reading(self.wall, self.steady, self.steady)

    def set(self, by_s: float) -> None:
        """Somebody sets the wall clock."""
        self.wall += by_s

    def wait(self, seconds: float, clock: RealClock | None = None) -> None:
        """Time passes; `clock` looks once a second and at the end, as a service does."""
        while seconds > 0:
            part = min(1.0, seconds)
            seconds -= part
            self.wall += part
            self.steady += part
            if clock is not None:
                clock.look()

    def clock(self, *, is_settled: bool = True) -> RealClock:
        """A clock of this machine; settled, as some minutes after its start."""
        clock = RealClock(read=self.read, steady=lambda: self.steady)
        if is_settled:
            self.wait(GRACE_S + 1, clock)
            assert clock.is_settled
        return clock
