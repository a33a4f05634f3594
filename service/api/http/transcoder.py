"""Large bodies become arrays, and arrays large bodies, beside the event loop, one after the other;
what that takes is counted.
"""

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from carousel.service.api.http.deadline import within
from carousel.service.api.http.memory_budget import COUNTED_BYTES, MemoryBudget
from carousel.service.errors import PayloadTooLarge

_Made = TypeVar("_Made")

# Of JSON as objects, on 64-bit CPython: a place in a list and a number that is made for it (those
# up to two digits are not), a list, a dict, one of its members with a name, half a string. Rounded
# up to what the allocator gives; held against measured memory by a test.
_PLACE, _NUMBER, _LIST, _DICT, _MEMBER, _QUOTE = 8, 32, 72, 248, 128, 40


class Transcoder:
    """Owned by the event loop, but for what it is given to call.

    The interpreter decodes in one thread at a time whatever is done, so there is one: a second one
    would only hold more at once.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.hold = budget.hold
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="transcoder")

    def __repr__(self) -> str:
        return f"<Transcoder {'busy' if self._turn.locked() else 'idle'}>"

    async def read(
        self, text: bytes | memoryview, deadline: float, call: Callable[[], _Made]
    ) -> _Made:
        """What `call` makes of `text`, JSON: at once where it is short.

        `deadline` is on the monotonic clock. Raises what `call` does, PayloadTooLarge, QueueFull,
        DeadlineExceeded.
        """
        if len(text) < COUNTED_BYTES:
            return call()
        await within(deadline, self._turn.acquire(), "other large bodies to be decoded")
        # Also where nobody waits for it any more, as a thread cannot be stopped.
        reading = asyncio.ensure_future(self._read(text, call))
        reading.add_done_callback(self._done)
        return await asyncio.shield(reading)

    async def write(self, num_bytes: int, call: Callable[[], _Made]) -> _Made:
        """What `call` makes of arrays that it takes up to `num_bytes` to write: at once where that
        is little. The budget is told before, by `hold`.
        """
        if num_bytes < COUNTED_BYTES:
            return call()
        async with self._turn:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _read(self, text: bytes | memoryview, call: Callable[[], _Made]) -> _Made:
        loop = asyncio.get_running_loop()
        takes = await loop.run_in_executor(self._thread, grown_bytes, text)
        if takes > self._budget.max_bytes:
            raise PayloadTooLarge(
                f"the body: its lists, objects and numbers would take {takes} bytes; all requests "
                f"together may take {self._budget.max_bytes}"
            )
        self._budget.take(takes)
        try:
            return await loop.run_in_executor(self._thread, _uncollected, call)
        finally:
            self._budget.add(-takes)

    def _done(self, reading: "asyncio.Future[_Made]") -> None:
        self._turn.release()
        if not reading.cancelled():
            reading.exception()  # or it would be told to the log where nobody waits for it


def _uncollected(call: Callable[[], _Made]) -> _Made:
    """`call()` without the garbage collector, which would look through all that was decoded so far,
    time and again: it takes as long as the decoding.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        return call()
    finally:
        if was_on:
            gc.enable()


def grown_bytes(text: bytes | memoryview) -> int:
    """How much memory JSON takes at most once it is lists, dicts, strings and numbers."""
    letters = np.frombuffer(text, np.uint8)
    places, lists, dicts, members, quotes = (
        int(np.count_nonzero(letters == ord(each))) for each in ',[{:"'
    )
    values = places + 1
    # One that has an object of its own has three digits or more, and a comma.
    made = min(values, max(0, (len(text) - 2 * values) // 2 + 2))
    return (
        len(text)
        + _PLACE * values
        + _NUMBER * made
        + _LIST * lists
        + _DICT * dicts
        + _MEMBER * members
        + _QUOTE * quotes
    )
