"""Whether the store can be reached: it is asked once a second, and one blip changes nothing."""

import asyncio
import logging
import math
import time
from collections.abc import Callable

from carousel.service.errors import CarouselError
from carousel.service.sessions.stores.base import Store

log = logging.getLogger("carousel.store")

AWAY_S = 3.0


class StoreHealth:
    """A store is away once it has not answered for `AWAY_S`; one answer, and it is back.

    `clock`: seconds that only go up. `pause_s` lies between two questions, and each may take
    `patience_s`.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        *,
        pause_s: float = 1.0,
        patience_s: float = 2.0,
    ) -> None:
        self._store = store
        self._clock = clock
        self._pause_s = pause_s
        self._patience_s = patience_s
        self._failing_since: float | None = None
        self._problem = ""
        self._is_told = False

    def __repr__(self) -> str:
        return f"<Health {'up' if self.is_up else 'away'} {self._store.name}>"

    @property
    def is_up(self) -> bool:
        """Whether the store is there, as far as is known."""
        return self._failing_since is None or self._clock() - self._failing_since < AWAY_S

    @property
    def problem(self) -> str | None:
        """Why the store is away, in words; None while it is there."""
        return None if self.is_up else self._problem

    async def begin(self) -> None:
        """Ask for the first time: a failure is no blip then."""
        await self.check(since=-math.inf)

    async def watch(self) -> None:
        """Ask for ever."""
        while True:
            await self.check()
            await asyncio.sleep(self._pause_s)

    async def check(self, since: float | None = None) -> None:
        """Ask once. `since` when a failure lasts, if it is the first."""
        began = since if since is not None else self._clock()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._store.ping()
        except Exception as error:
            # Whatever went wrong, the store did not say that it can work.
            if self._failing_since is None:
                self._failing_since = began
            self._problem = _told(error)
            if not self.is_up and not self._is_told:
                self._is_told = True
                known = isinstance(error, CarouselError)
                said = self._problem if known else str(error) or type(error).__name__
                log.error("the session store is away: %s", said)
        else:
            self._failing_since = None
            if self._is_told:
                self._is_told = False
                log.info("the session store is back")


def _told(error: Exception) -> str:
    """What went wrong, in words that anybody may read: probes need no key."""
    if isinstance(error, CarouselError):
        return f"{error.detail}: {error.hint}" if error.hint else error.detail
    return "the session store does not answer"
