"""Where an asynchronous stream takes its inputs from: any iterable, of either kind."""

import asyncio
from collections.abc import AsyncIterable, Iterable
from enum import Enum
from typing import Any, Final

from carousel_client.codec import Inputs


class End(Enum):
    """What comes after the last of the inputs; not None, which somebody may yield by mistake."""

    END = "end"


END: Final = End.END


class AsyncSource:
    """Inputs one after another; `exhausted` once there are no more."""

    def __init__(self, inputs: Iterable[Inputs] | AsyncIterable[Inputs]) -> None:
        self.exhausted = False
        self._later = aiter(inputs) if isinstance(inputs, AsyncIterable) else None
        self._now = None if isinstance(inputs, AsyncIterable) else iter(inputs)
        self._task: asyncio.Task[Inputs | End] | None = None

    def __repr__(self) -> str:
        return (
            f"<AsyncSource {'exhausted' if self.exhausted else 'ready' if self.ready else 'idle'}>"
        )

    @property
    def ready(self) -> bool:
        """Whether `take` need not wait."""
        return self._now is not None or (self._task is not None and self._task.done())

    async def wait_beside(self, other: "asyncio.Task[Any]") -> None:
        """Wait until this is ready or `other` is done."""
        await asyncio.wait({self._begin(), other}, return_when=asyncio.FIRST_COMPLETED)

    async def take(self) -> Inputs | End:
        """The next inputs, END once there are no more."""
        if self._now is not None:
            found = next(self._now, END)
        else:
            task = self._begin()
            # Not awaited itself: who gives up waiting must not lose what is on its way.
            await asyncio.wait({task})
            self._task = None
            found = task.result()
        self.exhausted = found is END
        return found

    async def close(self) -> None:
        """Wait for nothing any more; the iterable itself is its owner's to close."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.exception()

    def _begin(self) -> "asyncio.Task[Inputs | End]":
        if self._task is None:
            assert self._later is not None
            self._task = asyncio.ensure_future(_next(self._later))
        return self._task


async def _next(inputs: Any) -> Inputs | End:
    return await anext(inputs, END)
