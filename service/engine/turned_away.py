"""Who was refused for want of room, and is to be told: one for a few that are answered.

A client that is refused asks again, most at once. Told as fast as they come, refusals would be all
that the event loop does, and what was accepted would wait for the interpreter: with 3,000 clients
that asked for more than twice of what there was room for, a tenth of that was answered. With as
many refusals as answers it was six tenths, with one for four answers all. Where nobody was turned
away for a while they are told at once, and where nothing is answered a few are now and then.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

log = logging.getLogger("carousel.engine")

# How many may be told at once after a while without any.
_MOST_FREE = 256
_ANSWERS = 4
_FEW, _PAUSE_S = 16, 0.01


class TurnedAway:
    """Owned by the event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._free = _MOST_FREE
        self._answers = 0
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<TurnedAway {len(self._waiting)}>"

    def add(self, tell: Callable[[], None]) -> None:
        """Call `tell`, later and on the loop."""
        loop = asyncio.get_running_loop()
        if self._free > 0 and not self._waiting:
            self._free -= 1
            loop.call_soon(tell)
            return
        self._waiting.append(tell)
        if self._timer is None:
            self._timer = loop.call_later(_PAUSE_S, self._tell_few)

    def answered(self, count: int) -> None:
        """So many requests were."""
        told, self._answers = divmod(self._answers + count, _ANSWERS)
        while told and self._waiting:
            self._tell_next()
            told -= 1
        self._free = min(_MOST_FREE, self._free + told)

    def _tell_few(self) -> None:
        self._timer = None
        for _ in range(min(_FEW, len(self._waiting))):
            self._tell_next()
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE_S, self._tell_few)

    def _tell_next(self) -> None:
        try:
            self._waiting.popleft()()
        except Exception:
            log.exception("a refusal could not be told")
