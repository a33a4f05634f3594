"""The slow, exact reader of JSON arrays: it names the first thing that is wrong, and where.

Only what the fast reader (tensor.py) refused comes here. Arrays that it cannot read and
that are right all the same, as booleans and states with "NaN" in them, are read here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from carousel.models.row import Array
from carousel.models.spec import TIME, Axis, Dtype
from carousel.service.errors import (
    InvalidRequest,
    NonFiniteInput,
    NonFiniteState,
    OutOfRange,
    ShapeMismatch,
)

# protobuf's JSON mapping of what JSON has no numbers for.
WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a tensor must be. `low` and `high` bound integers; a state may hold WORDS, and if it is
    not `finite` may mean them.
    """

    dtype: Dtype
    axes: tuple[Axis, ...]
    low: int | None = None
    high: int | None = None
    is_state: bool = False
    finite: bool = True

    def __str__(self) -> str:
        return self.dtype + "".join(f"[{axis}]" for axis in self.axes)

    @property
    def is_bounded(self) -> bool:
        """Whether its values are integers with bounds narrower than their dtype."""
        bounds = self.low is not None or self.high is not None
        return bounds and self.dtype.startswith(("int", "uint"))

    @property
    def range(self) -> range:
        """The integers it may hold."""
        info = np.iinfo(self.dtype)
        low = info.min if self.low is None else self.low
        high = info.max if self.high is None else self.high
        return range(int(low), int(high) + 1)


def explain(value: Any, shape: Shape, where: str) -> Array:
    """The array that `value` is, if it is right; raises the error that says what is not."""
    flat = [_number(each, shape, place) for each, place in _walk(value, shape, 0, where)]
    sizes = tuple(axis if isinstance(axis, int) else len(value) for axis in shape.axes)
    with np.errstate(over="ignore"):
        array: Array = np.array(flat, np.dtype(shape.dtype).newbyteorder("<")).reshape(sizes)
    if array.dtype.kind == "f":
        _check_finite(array, flat, shape, where)
    return array


def kind_of(value: Any) -> str:
    """What a JSON value is, in words for a client."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return "an object" if isinstance(value, dict) else "a string"


def _walk(value: Any, shape: Shape, depth: int, where: str) -> Iterator[tuple[Any, str]]:
    """Every number of nested lists and where it stands, the lists checked against the axes."""
    if depth == len(shape.axes):
        yield value, where
        return
    axis = shape.axes[depth]
    expected = f"a list of {'time steps' if axis == TIME else axis} (the whole is {shape})"
    if not isinstance(value, list):
        error = ShapeMismatch if _is_number(value) else InvalidRequest
        raise error(f"{where}: {kind_of(value)} given; expected {expected}")
    if axis == TIME and not value:
        raise ShapeMismatch(f"{where}: no time step given; expected one or more")
    if axis != TIME and len(value) != axis:
        raise ShapeMismatch(f"{where}: {kind_of(value)} given; expected {expected}")
    for index, each in enumerate(value):
        yield from _walk(each, shape, depth + 1, f"{where}[{index}]")


def _number(value: Any, shape: Shape, where: str) -> float | int | bool:
    if isinstance(value, list):
        raise ShapeMismatch(f"{where}: a list given; expected a number (the whole is {shape})")
    if shape.dtype == "bool":
        if not isinstance(value, bool):
            raise InvalidRequest(f"{where}: {kind_of(value)} given; expected true or false")
        return value
    if shape.is_state and isinstance(value, str) and value in WORDS and "float" in shape.dtype:
        return WORDS[value]
    if not _is_number(value):
        raise InvalidRequest(f"{where}: {kind_of(value)} given; expected a number")
    number: float | int = value
    return number if shape.dtype.startswith("float") else _integer(number, shape, where)


def _integer(value: float | int, shape: Shape, where: str) -> int:
    # Integers beyond 64 bits arrive as floats without a fraction.
    if isinstance(value, float) and (abs(value) < 2.0**63 or not value.is_integer()):
        raise InvalidRequest(f"{where}: {value!r} given; expected an integer")
    # A float would be looked for among all integers of the range, one after the other.
    number = int(value)
    if number not in shape.range:
        allowed = shape.range
        raise OutOfRange(
            f"{where}: {value} given; expected an integer from {allowed[0]} to {allowed[-1]}"
        )
    return number


def _check_finite(array: Array, flat: list[Any], shape: Shape, where: str) -> None:
    bad = np.flatnonzero(~np.isfinite(array))
    if not len(bad):
        return
    given = flat[bad[0]]
    index = "".join(f"[{each}]" for each in np.unravel_index(int(bad[0]), array.shape))
    if math.isfinite(given):
        error = NonFiniteState if shape.is_state else NonFiniteInput
        raise error(f"{where}{index}: {given!r} is beyond {shape.dtype}")
    if shape.finite:
        word = next(word for word, value in WORDS.items() if str(value) == str(given))
        raise NonFiniteState(f"{where}{index}: {word} given; this state must be finite")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
