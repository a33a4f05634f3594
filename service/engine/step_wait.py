"""How long a step that comes now would wait, and whether that is too long. Pure; the clock is
outside.
"""

# How many steps must be answered for a rate to count for half of what is known.
_HALF = 256


class StepWait:
    """Counts the steps of sessions that wait, and how fast they are answered while some do.

    A queue that is bounded by its number alone is as long in seconds as its model is slow: under
    more load than there is room for, every step would wait for all of it, for nothing. By Little's
    law a step waits for as long as those before it take to be answered.
    """

    def __init__(self, max_wait_s: float, always: int) -> None:
        """`max_wait_s`: the longest wait, 0: any; `always`: so many may wait whatever it takes, as
        a few runs of a slow model may have.
        """
        self.num_waiting = 0
        self._max_wait_s = max_wait_s
        self._always = always
        self._step_s = 0.0
        self._since = 0.0

    def __repr__(self) -> str:
        return f"<StepWait waiting={self.num_waiting} {self.seconds * 1000:.1f} ms>"

    @property
    def seconds(self) -> float:
        """How long the next step would wait."""
        return self.num_waiting * self._step_s

    @property
    def is_too_long(self) -> bool:
        """Whether another step had better be refused at once."""
        return 0 < self._max_wait_s < self.seconds and self.num_waiting >= self._always

    def came(self, now: float) -> None:
        """A step begins to wait."""
        if self.num_waiting == 0:
            self._since = now
        self.num_waiting += 1

    def answered(self, count: int, now: float) -> None:
        """So many wait no longer."""
        if count == 0:
            return
        self.num_waiting -= count
        taken = (now - self._since) / count
        self._step_s += count / (count + _HALF) * (taken - self._step_s)
        self._since = now
