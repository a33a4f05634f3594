"""Which slots of the pool are free; the lowest first, so that few pages of it are ever touched."""

_FREE, _TAKEN = 0, 1


class Slots:
    """Hands out slot numbers 0 to num_slots - 1. Owned by the event loop.

    A byte a slot and not a list of numbers: those would stay behind, strewn over the memory that
    sessions which were given up have left.
    """

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self.num_taken = 0
        self._slots = bytearray(num_slots)
        # No slot below this one is free.
        self._lowest = 0

    def __repr__(self) -> str:
        return f"<Slots taken={self.num_taken} of={self.num_slots}>"

    @property
    def is_full(self) -> bool:
        return self.num_taken == self.num_slots

    def take(self) -> int | None:
        """The lowest free slot, or None when all are taken."""
        slot = self._slots.find(_FREE, self._lowest)
        if slot < 0:
            return None
        self._slots[slot] = _TAKEN
        self._lowest = slot + 1
        self.num_taken += 1
        return slot

    def take_many(self, count: int) -> list[int]:
        """The lowest free slots, `count` of them or as many as there are."""
        find, slots, at = self._slots.find, self._slots, self._lowest
        taken: list[int] = []
        for _ in range(count):
            slot = find(_FREE, at)
            if slot < 0:
                break
            slots[slot] = _TAKEN
            taken.append(slot)
            at = slot + 1
        self._lowest = at
        self.num_taken += len(taken)
        return taken

    def give(self, slot: int) -> None:
        """Return a slot; it must have been taken."""
        assert 0 <= slot < self.num_slots, f"there is no slot {slot}"
        assert self._slots[slot] == _TAKEN, f"slot {slot} was never taken"
        self._slots[slot] = _FREE
        self._lowest = min(self._lowest, slot)
        self.num_taken -= 1
