"""Answers that clients have not read yet: counted, bounded and, where nobody reads, cut."""

import logging
import time
from dataclasses import dataclass
from typing import Protocol

from carousel.service.api.http.memory_budget import COUNTED_BYTES, MemoryBudget

log = logging.getLogger("carousel.server")

_TIMEOUT_S = 20.0


class Reading(Protocol):
    """A connection whose client is to read."""

    @property
    def unread_bytes(self) -> int: ...

    def break_off(self) -> None: ...


@dataclass(slots=True)
class _Left:
    """What one client has left, when it last took some of it, and what the budget was told."""

    num_bytes: int
    since: float
    counted: int = 0


class Unread:
    """Of all connections together. Owned by the event loop.

    A client is cut off that takes next to nothing for `timeout_s`. Where all that is held is more
    than the budget has, the one that has taken nothing for the longest is cut off before: what it
    asked for was done, and recorded where it was a step.
    """

    def __init__(self, budget: MemoryBudget, timeout_s: float = _TIMEOUT_S) -> None:
        self._budget = budget
        self._timeout_s = timeout_s
        self._left: dict[Reading, _Left] = {}

    def __repr__(self) -> str:
        return f"<Unread {len(self._left)}>"

    def left(self, connection: Reading) -> None:
        """A client has more unread than before."""
        left = self._left.get(connection)
        if left is None:
            left = self._left[connection] = _Left(connection.unread_bytes, time.monotonic())
        self._count(left, connection.unread_bytes)
        while not self._budget.has_room and len(self._left) > 1:
            oldest = min(self._left, key=lambda each: self._left[each].since)
            self._cut(oldest, "others need the memory")

    def taken(self, connection: Reading) -> None:
        """A client has read what it was sent, or is gone."""
        left = self._left.pop(connection, None)
        if left is not None:
            self._budget.add(-left.counted)

    def look(self) -> None:
        """Cut off who does not read; called once a second."""
        now = time.monotonic()
        for connection, left in list(self._left.items()):
            num_bytes = connection.unread_bytes
            if num_bytes <= left.num_bytes - COUNTED_BYTES:
                left.num_bytes, left.since = num_bytes, now
            self._count(left, num_bytes)
            if now - left.since >= self._timeout_s:
                self._cut(connection, f"nothing was read for {self._timeout_s:g} s")

    def _count(self, left: _Left, num_bytes: int) -> None:
        left.num_bytes = max(left.num_bytes, num_bytes)
        counted = num_bytes if num_bytes >= COUNTED_BYTES else 0
        self._budget.add(counted - left.counted)
        left.counted = counted

    def _cut(self, connection: Reading, why: str) -> None:
        log.warning("cut off a client that left %d bytes unread: %s", connection.unread_bytes, why)
        self.taken(connection)
        connection.break_off()
