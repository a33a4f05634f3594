"""A thread that takes whatever jobs there are, all at once: how stores group their work."""

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

log = logging.getLogger("carousel.store")

Job = TypeVar("Job")


class BatchWorker(Generic[Job]):
    """Hands lists of jobs to `handle`, one list at a time, in the order they were put.

    What comes in while one list is handled makes the next. `handle` runs on the worker's own thread
    and tells each job's owner itself, also of failures: it must not raise.
    """

    def __init__(self, name: str, handle: Callable[[list[Job]], None]) -> None:
        self.name = name
        self._handle = handle
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<BatchWorker {self.name} waiting={self._jobs.qsize()}>"

    def put(self, job: Job) -> None:
        """Queue a job; from any thread, and it never waits."""
        self._jobs.put(job)

    def close(self) -> None:
        """Finish what was put, then end the thread; waits for it."""
        self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        ended = False
        while not ended:
            jobs, ended = self._take()
            if jobs:
                try:
                    self._handle(jobs)
                except Exception:
                    log.exception("%s failed; those who wait for it are not told", self.name)

    def _take(self) -> tuple[list[Job], bool]:
        """All jobs there are, at least one; and whether they are the last."""
        jobs: list[Job] = []
        job = self._jobs.get()
        try:
            while job is not None:
                jobs.append(job)
                job = self._jobs.get_nowait()
        except Empty:
            return jobs, False
        return jobs, True
