"""Drops requests whose client went away.

Watching a connection costs a task, so only those are watched that have been pending for a sweep
or two: most requests are answered before that. Cancelling the request's task cancels its wait in
the engine, and the engine skips what nobody waits for, unless it runs already.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

SWEEP_S = 0.05


class DisconnectWatcher:
    """The requests in progress, by the task that answers them. Owned by the event loop."""

    def __init__(self) -> None:
        self._pending: dict[asyncio.Task[Any], Receive] = {}
        self._older: set[asyncio.Task[Any]] = set()
        self._watchers: dict[asyncio.Task[Any], asyncio.Task[None]] = {}
        self._dropped: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<DisconnectWatcher pending={len(self._pending)} watched={len(self._watchers)}>"

    def begin(self, receive: Receive) -> "asyncio.Task[Any]":
        """The current task answers the request that `receive` belongs to, until `end`."""
        task = asyncio.current_task()
        assert task is not None
        self._pending[task] = receive
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return task

    def end(self, task: "asyncio.Task[Any]") -> None:
        """The request is answered, or its client is gone."""
        self._pending.pop(task, None)
        self._dropped.discard(task)

    def was_dropped(self, task: "asyncio.Task[Any]") -> bool:
        """Whether the task was cancelled because its client went away; tells it once."""
        if task not in self._dropped:
            return False
        self._dropped.remove(task)
        task.uncancel()
        return True

    def _sweep(self) -> None:
        """Watch what was pending at the last sweep already."""
        for task in self._older & self._pending.keys():
            if task not in self._watchers:
                watcher = asyncio.ensure_future(self._wait_for_end(task, self._pending[task]))
                self._watchers[task] = watcher
        self._older = set(self._pending)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SWEEP_S, self._sweep) if self._pending else None

    async def _wait_for_end(self, task: "asyncio.Task[Any]", receive: Receive) -> None:
        """Comes back when the client left or, just as well, when it was answered."""
        try:
            await receive()
        finally:
            del self._watchers[task]
        # A task may have gone on to another request, as those of in-process clients do.
        if self._pending.get(task) is receive and not task.done():
            self._dropped.add(task)
            task.cancel()
