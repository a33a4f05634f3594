"""When a call is tried again: exponential backoff with jitter, within a total time. Pure."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from carousel_client.errors import CarouselError, ConnectionLost


@dataclass(frozen=True, slots=True)
class Retry:
    """`total_s`: no attempt begins later than this after the first. The wait before the next is
    drawn from the upper half of `first_s`, twice that, and so on up to `most_s`; after an answer
    with Retry-After it comes on top of what that says. `jitter` gives numbers from 0 to 1.
    """

    total_s: float = 60.0
    first_s: float = 0.05
    most_s: float = 2.0
    jitter: Callable[[], float] = random.random

    def begin(self, now: float) -> "Attempts":
        """The first attempt is made now (seconds of a clock that only goes on)."""
        return Attempts(self, now)


class Attempts:
    """The attempts of one call. `lost`: one of them got no answer, and may have been done."""

    __slots__ = ("_end", "_retry", "_wait_s", "lost")

    def __init__(self, retry: Retry, now: float) -> None:
        self._retry = retry
        self._end = now + retry.total_s
        self._wait_s = retry.first_s
        self.lost = False

    def __repr__(self) -> str:
        return f"<Attempts next in {self._wait_s:g} s{' lost' if self.lost else ''}>"

    def wait_s(self, error: CarouselError, now: float) -> float:
        """How long to wait before the next attempt; raises `error` if there is to be none."""
        error.after_loss = self.lost
        if not error.is_passing:
            raise error
        retry = self._retry
        wait_s = self._wait_s * (0.5 + 0.5 * retry.jitter()) + (error.retry_after_s or 0.0)
        if now + wait_s > self._end:
            raise error
        self._wait_s = min(2 * self._wait_s, retry.most_s)
        if isinstance(error, ConnectionLost) or error.advanced == "unknown":
            self.lost = True
        return wait_s
