"""Which slots of the pool are free; the lowest first, so that few pages of it are ever touched."""

from heapq import heappop, heappush


class Slots:
    """Hands out slot numbers 0 to num_slots - 1. Owned by the event loop."""

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._free: list[int] = []
        self._next = 0

    def __repr__(self) -> str:
        return f"<Slots taken={self.num_taken} of={self.num_slots}>"

    @property
    def num_taken(self) -> int:
        """How many slots are in use."""
        return self._next - len(self._free)

    @property
    def is_full(self) -> bool:
        """Whether every slot is in use."""
        return not self._free and self._next == self.num_slots

    def take(self) -> int | None:
        """The lowest free slot, or None when all are taken."""
        if self._free:
            return heappop(self._free)
        if self._next == self.num_slots:
            return None
        self._next += 1
        return self._next - 1

    def give(self, slot: int) -> None:
        """Return a slot; it must have been taken."""
        assert 0 <= slot < self._next, f"slot {slot} was never taken"
        heappush(self._free, slot)
