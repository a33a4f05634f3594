"""How much is in a JSON text, told by its punctuation before it is parsed."""

from dataclasses import dataclass
from math import prod

import numpy as np

from carousel.models.spec import ModelSpec
from carousel.service.errors import SequenceTooLong

# Of JSON as objects, on 64-bit CPython: a place in a list and a number that is made for it (those
# up to two digits are not), a list, a dict, one of its members with a name, half a string. Rounded
# up to what the allocator gives; held against measured memory by a test.
_PLACE, _NUMBER, _LIST, _DICT, _MEMBER, _QUOTE = 8, 32, 72, 248, 128, 40
# What stands in a request beside its arrays: a handful of members.
_BESIDE = 64


@dataclass(frozen=True, slots=True)
class JsonSize:
    """Bytes, and how often a mark stands in them: within strings too, so there is no more."""

    num_bytes: int
    commas: int
    lists: int
    dicts: int
    members: int
    quotes: int

    @classmethod
    def of(cls, text: bytes | memoryview) -> "JsonSize":
        """Of a text."""
        letters = np.frombuffer(text, np.uint8)
        counts = [int(np.count_nonzero(letters == ord(each))) for each in ',[{:"']
        return cls(len(text), *counts)

    @property
    def memory(self) -> int:
        """How much memory it takes at most once it is lists, dicts, strings and numbers."""
        values = self.commas + 1
        # One that has an object of its own has three digits or more, and a comma.
        made = min(values, max(0, (self.num_bytes - 2 * values) // 2 + 2))
        return (
            self.num_bytes
            + _PLACE * values
            + _NUMBER * made
            + _LIST * self.lists
            + _DICT * self.dicts
            + _MEMBER * self.members
            + _QUOTE * self.quotes
        )


class LargestRequest:
    """What the largest request of a model has: `max_steps` time steps, each in a row of its own,
    with its inputs by name and a state. No other is parsed to be told so.
    """

    def __init__(self, spec: ModelSpec, max_steps: int) -> None:
        shapes = [each.row_shape for each in spec.sent_inputs]
        shapes += [each.session_shape for each in spec.states]
        names = 2 * len(shapes)
        # Of each: the list that it stands in, that of its time steps, and those within.
        lists = sum(2 + _lists_in(each) for each in shapes)
        values = sum(map(prod, shapes))
        self._max_steps = max_steps
        self._lists = max_steps * lists + _BESIDE
        self._commas = max_steps * (values + lists + names) + _BESIDE

    def __repr__(self) -> str:
        return f"<LargestRequest lists={self._lists} commas={self._commas}>"

    def check(self, size: JsonSize) -> None:
        """Raise SequenceTooLong for what is larger."""
        if size.lists > self._lists or size.commas > self._commas:
            raise SequenceTooLong(
                f"the body: {size.lists} lists and {size.commas} commas in it given, more than "
                f"{self._max_steps} time steps have, as many as a request may have"
            )


def _lists_in(shape: tuple[int, ...]) -> int:
    """How many lists an array of this shape is."""
    return sum(prod(shape[:depth]) for depth in range(len(shape)))
