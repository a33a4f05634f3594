"""The memory that messages in progress may take, all connections together."""

from collections.abc import Iterator
from contextlib import contextmanager

from carousel.service.errors import QueueFull, SequenceTooLong

# Less than this is not counted once it is whole: connections bound the number of small messages.
COUNTED_BYTES = 64 * 1024


class MemoryBudget:
    """Counts what is held. Owned by the event loop."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0

    def __repr__(self) -> str:
        return f"<MemoryBudget held={self.held_bytes} of {self.max_bytes}>"

    @property
    def has_room(self) -> bool:
        """Whether anything more may be held."""
        return self.held_bytes < self.max_bytes

    def take(self, num_bytes: int) -> None:
        """Count bytes about to be held; raises QueueFull where that would be too much."""
        if self.held_bytes + num_bytes > self.max_bytes:
            raise QueueFull(f"requests in progress hold {self.held_bytes} bytes already")
        self.held_bytes += num_bytes

    def take_answer(self, num_bytes: int) -> int:
        """Count what an answer will take, until as much as comes back is given back: nothing where
        that is little.

        Raises QueueFull, and SequenceTooLong where it would never fit.
        """
        if num_bytes < COUNTED_BYTES:
            return 0
        if num_bytes > self.max_bytes:
            raise SequenceTooLong(
                f"the answer would take up to {num_bytes} bytes; all requests together may take "
                f"{self.max_bytes}",
                hint="ask for fewer time steps in a request",
            )
        self.take(num_bytes)
        return num_bytes

    @contextmanager
    def hold(self, num_bytes: int) -> Iterator[None]:
        """The same while an answer is made."""
        taken = self.take_answer(num_bytes)
        try:
            yield
        finally:
            self.add(-taken)

    def add(self, num_bytes: int) -> None:
        """Count bytes that are held whatever the bound says; fewer than none are given back."""
        self.held_bytes += num_bytes
