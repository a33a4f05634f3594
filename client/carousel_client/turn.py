"""Whose turn it is on a session: one call at a time, and one stream."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Generic, TypeVar

StreamT = TypeVar("StreamT")


class Life(Enum):
    """A stream's; `INTERRUPTED` by another call on its session, which left outputs unread."""

    NEW = "new"
    OPEN = "open"
    ENDED = "ended"
    INTERRUPTED = "interrupted"

    @property
    def is_over(self) -> bool:
        """Whether there are no more outputs."""
        return self in (Life.ENDED, Life.INTERRUPTED)

    def check(self) -> None:
        """Raise RuntimeError where outputs were given up: a loop over them must not end as if it
        had seen all.
        """
        if self is Life.INTERRUPTED:
            raise RuntimeError("another call on its session has ended this stream")


class Turn(Generic[StreamT]):
    """Two calls at once have no order, so the second is refused rather than made to wait.

    `stream`: the one that is open.
    """

    __slots__ = ("_lock", "stream")

    def __init__(self) -> None:
        self.stream: StreamT | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Turn {'taken' if self._lock.locked() else 'free'} {self.stream!r}>"

    @contextmanager
    def taken(self) -> Iterator[None]:
        """For the time of a call; raises RuntimeError if another one is running."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError("another call on this session is running; make one after another")
        try:
            yield
        finally:
            self._lock.release()

    def leave(self, stream: StreamT) -> None:
        """The stream is no longer the one that is open."""
        if self.stream is stream:
            self.stream = None
