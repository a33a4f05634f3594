"""How much is in a JSON text, told by its punctuation before it is parsed."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

import numpy as np

from carousel.models.spec import ModelSpec
from carousel.service.errors import SequenceTooLong

# Of JSON as objects, on 64-bit CPython: a place in a list and a number that is made for it (those
# up to two digits are not), a list, a dict, one of its members with a name, half a string. Rounded
# up to what the allocator gives; held against measured memory by a test.
_PLACE, _NUMBER, _LIST, _DICT, _MEMBER, _QUOTE = 8, 32, 72, 248, 128, 40
# What stands in a request beside its rows, and the members of a row beside its arrays.
_BESIDE, _MEMBERS = 4096, 8


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


@dataclass(frozen=True, slots=True)
class LargestRequest:
    """What the largest request of a model has: `max_steps` time steps, each in a row of its own,
    with its inputs by name and a state. No other is parsed to be told so.
    """

    max_steps: int
    lists: int = _BESIDE
    commas: int = _BESIDE
    quotes: int = _BESIDE

    @classmethod
    def of(cls, spec: ModelSpec, max_steps: int) -> "LargestRequest":
        """Of one model."""
        shapes = [each.row_shape for each in spec.sent_inputs]
        shapes += [each.session_shape for each in spec.states]
        # Of each: the list that it stands in, that of its time steps, and those within.
        lists = sum(2 + _lists_in(each) for each in shapes)
        values = sum(map(prod, shapes))
        members = len(shapes) + _MEMBERS
        # Those that may be infinite are words then.
        words = sum(prod(each.session_shape) for each in spec.states if not each.finite)
        return cls(
            max_steps,
            max_steps * lists + _BESIDE,
            max_steps * (values + lists + members) + _BESIDE,
            max_steps * (4 * members + 2 * words) + _BESIDE,
        )

    @classmethod
    def of_any(cls, largest: Iterable["LargestRequest"], max_steps: int) -> "LargestRequest":
        """Of several models, each of which may be meant."""
        found = [cls(max_steps), *largest]
        return cls(
            max_steps,
            max(each.lists for each in found),
            max(each.commas for each in found),
            max(each.quotes for each in found),
        )

    def check(self, size: JsonSize) -> None:
        """Raise SequenceTooLong for what is larger."""
        if size.lists > self.lists or size.commas > self.commas or size.quotes > self.quotes:
            raise SequenceTooLong(
                f"the body: {size.lists} lists, {size.commas} commas, {size.quotes} quotes given; "
                f"a request of {self.max_steps} time steps, the most that one may have, has fewer"
            )


def _lists_in(shape: tuple[int, ...]) -> int:
    """How many lists an array of this shape is."""
    return sum(prod(shape[:depth]) for depth in range(len(shape)))
