"""Slot numbers: who has which, and nobody has the same."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.service.engine.slots import Slots


def test_the_lowest_free_slot_comes_first() -> None:
    """Few pages of the pool are touched: a freed low slot is used before a new one."""
    slots = Slots(8)
    taken = [slots.take() for _ in range(4)]
    slots.give(2)
    slots.give(0)

    assert taken == [0, 1, 2, 3]
    assert [slots.take() for _ in range(3)] == [0, 2, 4]


def test_a_full_pool_gives_none() -> None:
    """When all are taken there is none, until one is given back."""
    slots = Slots(2)
    slots.take()
    slots.take()

    assert slots.is_full
    assert slots.take() is None
    slots.give(1)
    assert not slots.is_full
    assert slots.take() == 1


def test_a_slot_that_was_never_taken_cannot_be_given() -> None:
    """A wrong number is caught where it is given, not where it would do harm."""
    with pytest.raises(AssertionError):
        Slots(4).give(0)


@given(st.lists(st.booleans(), max_size=80), st.integers(1, 6), st.randoms())
def test_no_slot_is_ever_in_two_hands(takes: list[bool], num_slots: int, random: Random) -> None:
    """Whatever is taken and given: held slots differ, are within the pool, and are counted."""
    slots = Slots(num_slots)
    held: list[int] = []
    for take in takes:
        if take:
            slot = slots.take()
            assert (slot is None) == (len(held) == num_slots)
            if slot is not None:
                held.append(slot)
        elif held:
            slots.give(held.pop(random.randrange(len(held))))
        assert len(set(held)) == len(held) == slots.num_taken
        assert all(0 <= slot < num_slots for slot in held)
        assert slots.is_full == (len(held) == num_slots)
