"""Waits for a write to the store to its end, also where the client has gone meanwhile."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def settled(write: Awaitable[T]) -> T:
    """What comes of a write. A wait that is cancelled ends when the write has.

    Whoever writes has the turn on the session: passed on earlier, the next would find in the store
    what the write is about to replace, and it would stay in memory.
    """
    task = asyncio.ensure_future(write)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        # Looked at, so that asyncio does not report as forgotten what nobody is there to be told.
        task.cancelled() or task.exception()
        raise cancelled
    return task.result()
