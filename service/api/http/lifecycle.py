"""Where the service stands between its start and its end, and what it still has to answer."""

import asyncio
from enum import Enum

from carousel.service.errors import Draining, ModelUnavailable


class Phase(Enum):
    """`LEAVING`: /readyz says no, requests are still taken. `REFUSING`: nothing new is taken."""

    LOADING = "loading"
    READY = "ready"
    LEAVING = "leaving"
    REFUSING = "refusing"


class Lifecycle:
    """The phase, and the requests that were accepted and are not answered yet."""

    def __init__(self) -> None:
        self.phase = Phase.LOADING
        self.num_accepted = 0
        self._answered = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Lifecycle {self.phase.value} accepted={self.num_accepted}>"

    def check(self) -> None:
        """Turn a new request away, unless now is the time for it."""
        if self.phase is Phase.LOADING:
            raise ModelUnavailable("the models are still being loaded")
        if self.phase is Phase.REFUSING:
            raise Draining("the service is shutting down and takes nothing new")

    @property
    def is_draining(self) -> bool:
        """Whether the end has begun."""
        return self.phase in (Phase.LEAVING, Phase.REFUSING)

    @property
    def is_refusing(self) -> bool:
        """Whether nothing new is taken."""
        return self.phase is Phase.REFUSING

    def accept(self) -> None:
        """One more request to answer."""
        self.num_accepted += 1

    def answered(self) -> None:
        """One less."""
        self.num_accepted -= 1
        if self.num_accepted == 0 and self.phase is Phase.REFUSING:
            self._answered.set()

    async def refuse(self) -> None:
        """Take nothing new, and wait until all that was accepted is answered."""
        self.phase = Phase.REFUSING
        if self.num_accepted:
            await self._answered.wait()
