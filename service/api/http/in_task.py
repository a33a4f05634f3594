"""From answers that a task makes to those that are told, and back."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from carousel.service.api.http.answer import Answer, Reply
from carousel.service.api.http.exchange import Abandonable
from carousel.service.engine.request import Abandoned

Told = TypeVar("Told")


class InTask:
    """One answer; `reply` is told once, later, what came of it."""

    def __init__(self, answering: Coroutine[Any, Any, Answer], reply: Reply) -> None:
        self._reply = reply
        self._task = asyncio.ensure_future(answering)
        # Not inside of the task: one that is cancelled before it begins runs nothing.
        self._task.add_done_callback(self._answered)

    def __repr__(self) -> str:
        return f"<InTask {self._task!r}>"

    def abandon(self) -> None:
        """The client has gone."""
        self._task.cancel()

    def _answered(self, task: "asyncio.Task[Answer]") -> None:
        if task.cancelled():
            self._reply(Abandoned())
            return
        error = task.exception()
        assert error is None or isinstance(error, Exception)
        self._reply(error or task.result())


async def awaited(begin: Callable[[Callable[[Told | Exception], None]], Abandonable]) -> Told:
    """What is told of something that was begun; raises why there is none. A wait that is cancelled
    abandons it.
    """
    future: asyncio.Future[Told] = asyncio.get_running_loop().create_future()

    def tell(told: Told | Exception) -> None:
        if future.done():
            return
        if isinstance(told, Exception):
            future.set_exception(told)
        else:
            future.set_result(told)

    begun = begin(tell)
    try:
        return await future
    except asyncio.CancelledError:
        begun.abandon()
        raise
