"""Columns of inputs without a server: each row is what it would be alone, or refused alike."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carousel.models.spec import InputSpec, ModelSpec, OutputSpec
from carousel.service.api.encoding.column_inputs import ColumnInputs
from carousel.service.api.encoding.column_tensor import Rows
from carousel.service.api.encoding.inputs import Inputs
from carousel.service.api.encoding.tensor import Entry
from carousel.service.errors import (
    CarouselError,
    InvalidRequest,
    NonFiniteInput,
    OutOfRange,
    SequenceTooLong,
    ShapeMismatch,
)

MOST = 100


def _spec(*inputs: InputSpec, **more: Any) -> ModelSpec:
    output = OutputSpec(name="y", dtype="float32", axes=("batch", "time", 2), per="step", **more)
    return ModelSpec(inputs=inputs, outputs=(output,))


FLOATS = _spec(InputSpec(name="x", dtype="float32", axes=("batch", "time", 2)))
TOKENS = _spec(InputSpec(name="ids", dtype="int64", axes=("batch", "time"), low=0, high=10))
BOOLS = _spec(InputSpec(name="gate", dtype="bool", axes=("time", "batch", 2)))
HALVES = _spec(InputSpec(name="x", dtype="float16", axes=("batch", "time", 1, 2)))
SPECS = (FLOATS, TOKENS, BOOLS, HALVES)

_NUMBERS: st.SearchStrategy[Any] = st.one_of(
    st.integers(-3, 12),
    st.floats(-10, 70_000, width=32),
    st.sampled_from([1e39, 1e308, 70_000, 2**63, True, False, None, "1", [], {}]),
)
_GOOD = {
    "float32": st.one_of(st.integers(-9, 9), st.floats(-9, 9, width=32)),
    "float16": st.one_of(st.integers(-9, 9), st.floats(-9, 9, width=16)),
    "int64": st.integers(0, 10),
    "bool": st.booleans(),
}


@st.composite
def _columns(draw: st.DrawFn) -> tuple[ModelSpec, list[Any]]:
    """A model of one input, and rows of one length that are right, but for some numbers."""
    spec = draw(st.sampled_from(SPECS))
    (tensor,) = spec.inputs
    sizes = (draw(st.integers(1, 3)), *tensor.row_shape)
    good = _GOOD[tensor.dtype]
    bad = draw(st.booleans())
    number = st.one_of(good, good, good, good, _NUMBERS) if bad else good

    def row(depth: int) -> Any:
        if depth == len(sizes):
            return draw(number)
        return [row(depth + 1) for _ in range(sizes[depth])]

    # What goes over the wire is JSON, in which integers beyond 64 bits are floats.
    rows = [row(0) for _ in range(draw(st.integers(1, 4)))]
    return spec, orjson.loads(orjson.dumps(rows))


@given(_columns())
def test_rows_are_read_as_they_would_be_alone(asked: tuple[ModelSpec, list[Any]]) -> None:
    """The same arrays and, of rows at fault, the same errors; with time and packed."""
    spec, values = asked
    alone: dict[int, Any] = {}
    refused: dict[int, type[CarouselError]] = {}
    for row, value in enumerate(values):
        try:
            sequence = Inputs(spec, max_steps=MOST).read_json(value, "inputs", bools=True)
            alone[row] = sequence.inputs[spec.inputs[0].name]
        except InvalidRequest as error:
            refused[row] = type(error)
    lengths = np.array([len(each) for each in values])
    for rows, value in (
        (Rows(len(values)), values),
        (Rows(len(values), lengths), [step for each in values for step in each]),
    ):
        columns = ColumnInputs(spec, max_steps=MOST)
        try:
            arrays = columns.read_json(value, rows, bools=True, max_steps=MOST)
        except InvalidRequest:
            # Where no row is right, all may be wrong in one way.
            assert not alone
            continue
        assert rows.faults.keys() == refused.keys()
        if rows.lengths is None:  # of two faults in a row, packed, another may be found first
            assert {row: type(each) for row, each in rows.faults.items()} == refused
        (array,) = arrays.inputs.values()
        ends = np.cumsum(lengths)
        for row, wanted in alone.items():
            packed = rows.lengths is not None
            found = array[ends[row] - lengths[row] : ends[row]] if packed else array[row]
            assert found.dtype == wanted.dtype
            assert found.tobytes() == wanted.tobytes()


@given(st.lists(st.lists(st.floats(width=32), min_size=4, max_size=4), min_size=1, max_size=5))
def test_bytes_are_read_as_they_would_be_alone(values: list[list[float]]) -> None:
    """NaN and infinities are their rows' fault, and no other's."""
    x = np.array(values, "<f4").reshape(len(values), 2, 2)
    rows = Rows(len(values))
    entry = Entry("float32", x.shape, x.tobytes())
    arrays = ColumnInputs(FLOATS, max_steps=MOST).read_tensors({"x": entry}, rows, max_steps=MOST)
    wrong = {row for row, each in enumerate(values) if not np.isfinite(each).all()}
    assert rows.faults.keys() == wrong
    assert all(isinstance(each, NonFiniteInput) for each in rows.faults.values())
    assert arrays.inputs["x"].tobytes() == x.tobytes()
    assert (arrays.num_steps, arrays.squeezed) == (2, False)


def test_bytes_that_are_no_booleans() -> None:
    """Only 0 and 1 are."""
    rows = Rows(2)
    entry = Entry("bool", (2, 2), b"\0\1\1\2")
    ColumnInputs(BOOLS, max_steps=MOST).read_tensors({"gate": entry}, rows, max_steps=MOST)
    assert [type(each) for each in rows.faults.values()] == [OutOfRange]
    assert rows.faults[1].detail.startswith("gate[1][1]: ")


@pytest.mark.parametrize(("stride", "offset"), [(2, None), (None, 1), (1, -1)])
def test_outputs_of_another_number_cannot_be_packed(stride: int | None, offset: int | None) -> None:
    """In words, and before anything is read."""
    spec = _spec(FLOATS.inputs[0], stride=stride, offset=offset)
    rows = Rows(1, np.array([3]))
    with pytest.raises(InvalidRequest, match="output y has another number"):
        ColumnInputs(spec, max_steps=MOST).read_json(
            [[1, 1]] * 3, rows, bools=False, max_steps=MOST
        )


def test_what_a_model_demands_of_each_row() -> None:
    """Too few time steps, or more counted than there are: the row's fault where rows differ."""
    count = InputSpec(name="n", dtype="int64", axes=("batch",), low=1, counts_steps=True)
    spec = ModelSpec(
        inputs=(FLOATS.inputs[0], count), outputs=FLOATS.outputs, streaming="step", least_steps=2
    )
    columns = ColumnInputs(spec, max_steps=MOST)
    rows = Rows(3, np.array([2, 1, 3]))
    given = {"x": [[1, 1]] * 6, "n": [3, 1, 3]}
    columns.read_json(given, rows, bools=False, max_steps=MOST)
    assert {row: type(each) for row, each in rows.faults.items()} == {
        0: OutOfRange,
        1: ShapeMismatch,
    }
    even = Rows(2)
    given = {"x": [[[1, 1]] * 2] * 2, "n": [2, 3]}
    columns.read_json(given, even, bools=False, max_steps=MOST)
    assert list(even.faults) == [1]
    short = ModelSpec(inputs=FLOATS.inputs, outputs=FLOATS.outputs, least_steps=2)
    with pytest.raises(ShapeMismatch, match="inputs: 1 time steps given"):
        ColumnInputs(short, max_steps=MOST).read_json(
            [[1, 1]] * 2, Rows(2), bools=False, max_steps=MOST
        )


def test_time_steps_are_bounded_before_they_are_read() -> None:
    """Of all rows together."""
    columns = ColumnInputs(FLOATS, max_steps=MOST)
    with pytest.raises(SequenceTooLong):
        columns.read_json([[[1, 1]] * 51] * 2, Rows(2), bools=False, max_steps=MOST)
    with pytest.raises(SequenceTooLong):
        columns.read_json([], Rows(2, np.array([50, 51])), bools=False, max_steps=MOST)
