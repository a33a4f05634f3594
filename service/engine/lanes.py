"""Threads that run a model's programs, so that several runs are under way on as many cores."""

import threading
from collections.abc import Callable
from queue import SimpleQueue

from carousel.service.engine.run import Run


class Lanes:
    """`count` threads: each takes a run, executes it and says so. They touch nothing else: packing,
    the pool and what comes of a run are the engine's thread's.
    """

    def __init__(
        self, count: int, execute: Callable[[Run], None], executed: Callable[[Run], None]
    ) -> None:
        self.count = count
        self._execute = execute
        self._executed = executed
        self._waiting: SimpleQueue[Run | None] = SimpleQueue()

    def __repr__(self) -> str:
        return f"<Lanes {self.count}>"

    def start(self, name: str) -> None:
        """Start the threads; they end when the process does, or with `stop`."""
        for number in range(self.count):
            threading.Thread(target=self._serve, name=f"{name} {number + 1}", daemon=True).start()

    def put(self, run: Run) -> None:
        """A run for the next thread that is free."""
        self._waiting.put(run)

    def stop(self) -> None:
        """End the threads, after what they have."""
        for _ in range(self.count):
            self._waiting.put(None)

    def _serve(self) -> None:
        while (run := self._waiting.get()) is not None:
            self._execute(run)
            self._executed(run)
            # Nothing of it stays while this thread waits for the next.
            del run
