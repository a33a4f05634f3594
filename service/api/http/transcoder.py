"""Large bodies become arrays, and arrays large bodies, beside the event loop, one after the other;
what that takes is counted.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from carousel.service.api.encoding.json_size import JsonSize, LargestRequest
from carousel.service.api.http.memory_budget import COUNTED_BYTES, MemoryBudget
from carousel.service.errors import PayloadTooLarge
from carousel.service.sessions.deadline import within

_Made = TypeVar("_Made")


class Transcoder:
    """Owned by the event loop, but for what it is given to call.

    The interpreter decodes in one thread at a time whatever is done, so that there is one: a second
    would only hold more at once.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.hold = budget.hold
        self.take = budget.take_answer
        self._turn = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Transcoder {'busy' if self._turn.locked() else 'idle'}>"

    def give_back(self, num_bytes: int) -> None:
        """An answer that was counted is written."""
        self._budget.add(-num_bytes)

    async def read(
        self,
        text: bytes | memoryview,
        deadline: float,
        call: Callable[[], _Made],
        largest: Callable[[], LargestRequest],
    ) -> _Made:
        """What `call` makes of `text`, JSON: at once where it is short.

        `deadline` is on the monotonic clock; more than `largest` is not parsed. Raises what `call`
        does, SequenceTooLong, PayloadTooLarge, QueueFull, DeadlineExceeded.
        """
        if len(text) < COUNTED_BYTES:
            return call()
        await within(deadline, self._turn.acquire(), "other large bodies to be decoded")
        return await self._on_turn(self._read(text, call, largest()))

    async def write(self, num_bytes: int, call: Callable[[], _Made]) -> _Made:
        """What `call` makes of arrays that it takes up to `num_bytes` to write: at once where that
        is little. The budget is told before, by `hold`.
        """
        if num_bytes < COUNTED_BYTES:
            return call()
        await self._turn.acquire()
        return await self._on_turn(asyncio.to_thread(call))

    async def _on_turn(self, work: Coroutine[Any, Any, _Made]) -> _Made:
        """Pass the turn on when it is done, also where nobody waits for it any more: a thread
        cannot be stopped.
        """
        task = asyncio.ensure_future(work)
        task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def _read(
        self,
        text: bytes | memoryview,
        call: Callable[[], _Made],
        largest: LargestRequest,
    ) -> _Made:
        size = await asyncio.to_thread(JsonSize.of, text)
        largest.check(size)
        takes = size.memory
        if takes > self._budget.max_bytes:
            raise PayloadTooLarge(
                f"the body: its lists, objects and numbers would take {takes} bytes; all requests "
                f"together may take {self._budget.max_bytes}"
            )
        self._budget.take(takes)
        try:
            return await asyncio.to_thread(_uncollected, call)
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
