"""The knee: the highest rate that a server holds, searched by trials of one rate each. Pure.

It starts from a guess. While rates are held it goes up, and while they are not down, by a factor
each time; once one is held and a higher one is not, it halves what is between them, by ratio:

    held        next is a third higher         until one is not held
    not held    next is half as high           until one is held
    both known  their geometric mean           until they are within `NEAR`, or trials run out
"""

import math

MAX_TRIALS = 9
NEAR = 1.06
_UP = 4 / 3
_DOWN = 1 / 2


class Search:
    """`low` is the highest rate held so far, `high` the lowest that was not."""

    def __init__(self, guess: float, max_trials: int = MAX_TRIALS) -> None:
        self.low: float | None = None
        self.high: float | None = None
        self._guess = guess
        self._left = max_trials

    def __repr__(self) -> str:
        return f"<Search low={self.low} high={self.high} left={self._left}>"

    def next(self) -> float | None:
        """The rate to try; None once the knee is known well enough, or trials have run out."""
        if self._left == 0:
            return None
        if self.low is None:
            return self._guess if self.high is None else self.high * _DOWN
        if self.high is None:
            return self.low * _UP
        return math.sqrt(self.low * self.high) if self.high / self.low > NEAR else None

    def tell(self, rate: float, *, held: bool) -> None:
        """What came of a trial. Of two that contradict each other, the lower rate is believed."""
        self._left -= 1
        if held:
            self.low = rate if self.low is None else max(self.low, rate)
        else:
            self.high = rate if self.high is None else min(self.high, rate)
        if self.low is not None and self.high is not None and self.low >= self.high:
            self.low = None
