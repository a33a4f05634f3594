"""Arrays on the wire, without a server: what is read, what is refused, and with which words."""

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.service.api.encoding.arrays import array_json, arrays_json
from carousel.service.api.encoding.explain import Shape
from carousel.service.api.encoding.tensor import Tensor
from carousel.service.errors import (
    CarouselError,
    InvalidRequest,
    NonFiniteInput,
    NonFiniteState,
    OutOfRange,
    SequenceTooLong,
    ShapeMismatch,
)

FLOATS = Tensor(Shape("float32", ("time", 3)), max_steps=4)
TOKENS = Tensor(Shape("int64", ("time",), low=0, high=10), max_steps=4)
COUNTS = Tensor(Shape("int64", ("time",)), max_steps=4)
BYTES = Tensor(Shape("int8", (2, 1, 2)), max_steps=1)
BOOLS = Tensor(Shape("bool", ("time",)), max_steps=4)
HALVES = Tensor(Shape("float16", (2,)), max_steps=1)
STATE = Tensor(Shape("float32", (2,), is_state=True), max_steps=1)
CACHE = Tensor(Shape("float32", (2,), is_state=True, finite=False), max_steps=1)

ROW = [1, 2, 3]


@pytest.mark.parametrize(
    ("tensor", "value", "expected"),
    [
        (FLOATS, [[0.1, -2, 3e-40]], np.array([[0.1, -2, 3e-40]], np.float32)),
        (FLOATS, [ROW, ROW], np.array([ROW, ROW], np.float32)),
        (TOKENS, [0, 10], np.array([0, 10])),
        (BYTES, [[[1, -128]], [[3, 127]]], np.array([[[1, -128]], [[3, 127]]], np.int8)),
        (BOOLS, [True, False], np.array([True, False])),
        (HALVES, [0.5, 65504], np.array([0.5, 65504], np.float16)),
        (CACHE, ["-Infinity", 1], np.array([-np.inf, 1], np.float32)),
    ],
)
def test_json_is_read(tensor: Tensor, value: Any, expected: Any) -> None:
    """An array that is right is read exactly, in its dtype."""
    array = tensor.read_json(value, "x", bools=True)
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("tensor", "value", "error", "detail"),
    [
        (FLOATS, [[1, 2]], ShapeMismatch, "x[0]: a list of 2 given; expected a list of 3"),
        (FLOATS, [ROW, [1]], ShapeMismatch, "x[1]: a list of 1 given; expected a list of 3"),
        (FLOATS, [], ShapeMismatch, "x: no time step given"),
        (FLOATS, 5, ShapeMismatch, "x: a number given; expected a list of time steps"),
        (FLOATS, [1, 2, 3], ShapeMismatch, "x[0]: a number given; expected a list of 3"),
        (FLOATS, [[[1], 2, 3]], ShapeMismatch, "x[0][0]: a list given; expected a number"),
        (FLOATS, [["1", 2, 3]], InvalidRequest, "x[0][0]: a string given; expected a number"),
        (FLOATS, [[1, None, 3]], InvalidRequest, "x[0][1]: null given; expected a number"),
        (FLOATS, [[1, 2, True]], InvalidRequest, "x[0][2]: a boolean given; expected a number"),
        (FLOATS, [[1, 2, {}]], InvalidRequest, "x[0][2]: an object given; expected a number"),
        (FLOATS, ["abc"], InvalidRequest, "x[0]: a string given; expected a list of 3"),
        (FLOATS, [{"a": 1, "b": 2, "c": 3}], InvalidRequest, "x[0]: an object given"),
        (FLOATS, None, InvalidRequest, "x: null given; expected a list of time steps"),
        (FLOATS, [["NaN", 2, 3]], InvalidRequest, "x[0][0]: a string given; expected a number"),
        (FLOATS, [[1, 2, 1e39]], NonFiniteInput, "x[0][2]: 1e+39 is beyond float32"),
        (FLOATS, [ROW] * 5, SequenceTooLong, "x: 5 time steps given; a request may have 4"),
        (HALVES, [65520, 1], NonFiniteInput, "x[0]: 65520 is beyond float16"),
        (TOKENS, [0, 11], OutOfRange, "x[1]: 11 given; expected an integer from 0 to 10"),
        (TOKENS, [-1], OutOfRange, "x[0]: -1 given; expected an integer from 0 to 10"),
        (TOKENS, [2**70], OutOfRange, "expected an integer from 0 to 10"),
        (TOKENS, [1.5], InvalidRequest, "x[0]: 1.5 given; expected an integer"),
        (TOKENS, [True], InvalidRequest, "x[0]: a boolean given; expected a number"),
        (BYTES, [[[1, 2]], [[3, 128]]], OutOfRange, "x[1][0][1]: 128 given"),
        (BYTES, [[[1, 2], [3, 4]]] * 2, ShapeMismatch, "x[0]: a list of 2 given"),
        (BOOLS, [1], InvalidRequest, "x[0]: a number given; expected true or false"),
        (STATE, ["NaN", 1], NonFiniteState, "x[0]: NaN given; this state must be finite"),
        (CACHE, ["nan", 1], InvalidRequest, "x[0]: a string given; expected a number"),
    ],
)
def test_json_is_refused(
    tensor: Tensor, value: Any, error: type[CarouselError], detail: str
) -> None:
    """What is wrong is refused with its own code, where it stands and what was expected."""
    # As the parser would hand it over: it makes floats of integers beyond 64 bits.
    parsed = orjson.loads(json.dumps(value))
    with pytest.raises(CarouselError) as raised:
        tensor.read_json(parsed, "x", bools=True)
    assert type(raised.value) is error
    assert detail in raised.value.detail


@pytest.mark.parametrize(
    ("tensor", "data", "error"),
    [
        (FLOATS, bytes(13), ShapeMismatch),
        (FLOATS, b"", ShapeMismatch),
        (FLOATS, bytes(12 * 5), SequenceTooLong),
        (FLOATS, np.array([1, np.nan, 1], "<f4").tobytes(), NonFiniteInput),
        (FLOATS, np.array([1, 1, -np.inf], "<f4").tobytes(), NonFiniteInput),
        (TOKENS, np.array([0, 11], "<i8").tobytes(), OutOfRange),
        (TOKENS, np.array([-1], "<i8").tobytes(), OutOfRange),
        (BYTES, bytes(8), ShapeMismatch),
        (BOOLS, b"\2", OutOfRange),
        (STATE, np.array([1, np.nan], "<f4").tobytes(), NonFiniteState),
    ],
)
def test_bytes_are_refused(tensor: Tensor, data: bytes, error: type[CarouselError]) -> None:
    """Bytes that are too few, too many or mean what no input may be are refused."""
    with pytest.raises(CarouselError) as raised:
        tensor.read_bytes(data, "the body")
    assert type(raised.value) is error


@given(
    st.lists(
        st.lists(
            st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=3, max_size=3
        ),
        min_size=1,
        max_size=4,
    )
)
def test_json_and_bytes_agree(rows: list[list[float]]) -> None:
    """The same numbers in JSON and in binary are the same array, bit for bit."""
    array = np.array(rows, "<f4")
    text = orjson.loads(array_json(array))
    read = FLOATS.read_json(text, "x", bools=False)
    assert read.tobytes() == FLOATS.read_bytes(array.tobytes(), "x").tobytes() == array.tobytes()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=12,
)


@pytest.mark.parametrize("value", [1e19, -1e300, 10**40])
def test_a_number_beyond_all_integers_is_refused_at_once(value: float) -> None:
    """Not after the integers of the dtype were counted through: they are 2 to the power of 64."""
    with pytest.raises(OutOfRange, match=r"\[0\]: .* given; expected an integer from -9223372036"):
        COUNTS.read_json(orjson.loads(json.dumps([value])), "x", bools=False)


@given(JSON_VALUES)
def test_any_json_is_read_or_refused(value: Any) -> None:
    """Whatever a client sends is an array of the right shape or a client's error, never a crash."""
    for tensor in (FLOATS, TOKENS, BYTES, BOOLS, STATE):
        try:
            array = tensor.read_json(value, "x", bools=True)
        except InvalidRequest:
            continue
        assert (
            array.shape[1 if tensor.has_time else 0 :]
            == tensor.shape.axes[1 if tensor.has_time else 0 :]
        )


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_not_finite_is_said_in_words(dtype: str) -> None:
    """NaN and infinities become strings in JSON, each in its place, and the rest stays numbers."""
    array = np.array([[np.nan, 1.5], [-np.inf, np.inf]], dtype)
    assert json.loads(array_json(array)) == [["NaN", 1.5], ["-Infinity", "Infinity"]]


def test_every_layout_is_written() -> None:
    """Views with strides and arrays without axes are written as what they hold."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert json.loads(array_json(array.T)) == [[0, 3], [1, 4], [2, 5]]
    assert json.loads(array_json(np.array(2.5, np.float32))) == 2.5
    assert json.loads(array_json(np.array(np.nan))) == "NaN"
    assert json.loads(arrays_json({'a"b': array[0]})) == {'a"b': [0, 1, 2]}
