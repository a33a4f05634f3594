"""Every datatype and shape, read from JSON and from bytes, and written again."""

import json
from typing import Any

import numpy as np
import pytest

from carousel.models.row import Array
from carousel.models.spec import Dtype, InputSpec, ModelSpec, OutputSpec, StateSpec
from carousel.service.api.v1.work import RowResult
from carousel.service.api.v2.binary_tensors import BinaryTensors
from carousel.service.api.v2.outputs import OutputTensor, StateOutput
from carousel.service.api.v2.tensors import InputTensor, StateTensor
from carousel.service.errors import InvalidRequest, OutOfRange, ShapeMismatch
from tests.service.api.v2.oip import DATATYPES, binary_tensor, tensor

VALUES: dict[Dtype, list[Any]] = {
    "bool": [True, False, False, True, True, False],
    "uint8": [0, 1, 2, 127, 128, 255],
    "int8": [-128, -1, 0, 1, 2, 127],
    "int16": [-(2**15), -1, 0, 1, 2, 2**15 - 1],
    "int32": [-(2**31), -1, 0, 1, 2, 2**31 - 1],
    "int64": [-(2**63), -1, 0, 1, 2**53 + 1, 2**63 - 1],
    "float16": [-65504.0, -0.5, 0.0, 1.0, 0.333251953125, 65504.0],
    "float32": [-1e38, -0.5, 0.0, 1.0, 0.3333333432674408, 1e38],
    "float64": [-1e300, -0.5, 0.0, 1.0, 1 / 3, 1e300],
}


def make_spec(dtype: Dtype = "float32", *, fold: int = 1, has_batch: bool = True) -> ModelSpec:
    """A model that takes, gives and keeps one tensor of a dtype."""
    batch: Any = ("batch",) if has_batch else ()
    return ModelSpec(
        inputs=(InputSpec(name="x", dtype=dtype, axes=("time", *batch, 3)),),
        outputs=(OutputSpec(name="y", dtype=dtype, axes=("time", *batch, 3), per="step"),),
        states=(StateSpec(name="s", dtype=dtype, axes=(2, *batch, 3), output="s_out", fold=fold),),
        streaming="step",
    )


def read(entry: dict[str, Any], spec: ModelSpec, binary: bytes | None = None) -> list[Array]:
    """The rows that an entry of the input is."""
    given = InputTensor(spec, spec.inputs[0], max_steps=100)
    tensors = BinaryTensors(binary)
    rows = given.rows(given.read(entry, tensors))
    tensors.check_end()
    return rows


@pytest.mark.parametrize("dtype", VALUES)
def test_every_datatype_both_ways(dtype: Dtype) -> None:
    """Flat, nested and binary are the same values to the last bit, and are written so again."""
    spec = make_spec(dtype)
    x = np.array(VALUES[dtype], dtype).reshape(1, 2, 3)
    assert tensor("x", x)["datatype"] == DATATYPES[dtype]
    for entry, binary in (
        (tensor("x", x), None),
        (tensor("x", x) | {"data": x.tolist()}, None),
        (json.loads(json.dumps(tensor("x", x))), None),
        (binary_tensor("x", x), x.tobytes()),
    ):
        (row,) = read(entry, spec, binary)
        assert (row.dtype, row.shape) == (x.dtype, (2, 3))
        assert row.tobytes() == x.tobytes()
    given = InputTensor(spec, spec.inputs[0], max_steps=100)
    given.read(binary_tensor("x", x), BinaryTensors(x.tobytes()))
    again = given.read_short(binary_tensor("x", x), x.tobytes())
    assert again is not None
    assert again.inputs["x"].tobytes() == x.tobytes()
    whole = OutputTensor(spec, spec.outputs[0]).whole([RowResult({"y": x[0]})])
    assert (whole.dtype, whole.shape, whole.tobytes()) == (x.dtype, x.shape, x.tobytes())


def test_rows_stand_one_behind_the_other() -> None:
    """The first axis is the batch, wherever the program has it."""
    x = np.arange(24, dtype=np.float32).reshape(4, 2, 3)  # (B, T, F)
    for entry, binary in ((tensor("x", x), None), (binary_tensor("x", x), x.tobytes())):
        rows = read(entry, make_spec(), binary)
        assert [row.tolist() for row in rows] == x.tolist()
    output = OutputTensor(make_spec(), make_spec().outputs[0])
    assert output.whole([RowResult({"y": row}) for row in x]).tolist() == x.tolist()


def test_rows_run_one_by_one_have_no_batch() -> None:
    """A model without the axis takes a tensor without it."""
    spec = make_spec(has_batch=False)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)  # (T, F)
    (row,) = read(tensor("x", x), spec)
    assert row.tolist() == x.tolist()
    with pytest.raises(ShapeMismatch, match=r"expected \[time, 3\]"):
        read(tensor("x", x[None]), spec)


def test_folded_states_keep_a_sessions_rows_together() -> None:
    """Places along the batch that are one session's stay so, and their number must fit."""
    spec = make_spec(fold=2)
    state = spec.states[0]
    whole = np.arange(36, dtype=np.float32).reshape(2, 6, 3)  # (2, B * fold, 3)
    given = StateTensor(spec, state, max_steps=100)
    rows = given.rows(given.read(tensor("s", whole), BinaryTensors(None)))
    assert [row.tolist() for row in rows] == [
        whole[:, 2 * n : 2 * n + 2].tolist() for n in range(3)
    ]
    back = StateOutput(state, "s_out").whole([RowResult({}, {"s": row}) for row in rows])
    assert back.tolist() == whole.tolist()
    with pytest.raises(ShapeMismatch, match=r"expected \[2, 2 \* batch, 3\]"):
        given.read(tensor("s", whole[:, :5]), BinaryTensors(None))


@pytest.mark.parametrize(
    ("dtype", "data", "error"),
    [
        ("bool", [1, 0, 1], InvalidRequest),
        ("bool", ["true"] * 3, InvalidRequest),
        ("uint8", [0, 1, 256], OutOfRange),
        ("uint8", [0, 1, -1], OutOfRange),
        ("int8", [0, 1, 128], OutOfRange),
        ("int64", [0, 1, 2**63], OutOfRange),
        ("int32", [0, 1, 1.5], InvalidRequest),
        ("int32", [0, 1, 1.0], InvalidRequest),
        ("int32", [0, 1, True], InvalidRequest),
        ("float16", [0, 1, 70000.0], InvalidRequest),
        ("float16", [0, 1, "1"], InvalidRequest),
        ("float64", [0, 1, False], InvalidRequest),
    ],
)
def test_values_that_are_none_of_the_datatype(
    dtype: Dtype, data: list[Any], error: type[InvalidRequest]
) -> None:
    """Refused, naming the value's place, flat or nested; nothing is rounded into its range."""
    entry = {"name": "x", "shape": [1, 1, 3], "datatype": DATATYPES[dtype]}
    with pytest.raises(error, match=r"inputs\.x\.data\[[02]\]: "):
        read(entry | {"data": data}, make_spec(dtype))
    with pytest.raises(error, match=r"inputs\.x\.data\[0\]\[0\]\[[02]\]: "):
        read(entry | {"data": [[data]]}, make_spec(dtype))


def test_booleans_in_binary_are_0_or_1() -> None:
    """Any other byte is refused."""
    spec = make_spec("bool")
    entry = binary_tensor("x", np.ones((1, 1, 3), bool))
    assert read(entry, spec, b"\1\0\1")[0].tolist() == [[True, False, True]]
    with pytest.raises(OutOfRange):
        read(entry, spec, b"\1\2\1")


def test_a_shape_is_right_only_as_it_is() -> None:
    """What was once right does not make right what compares equal."""
    x = np.ones((1, 1, 3), np.float32)
    spec = make_spec()
    given = InputTensor(spec, spec.inputs[0], max_steps=100)
    given.read(tensor("x", x), BinaryTensors(None))
    for shape in ([1.0, 1, 3], [True, 1, 3], [1, 1, 3.0]):
        with pytest.raises(ShapeMismatch):
            given.read(tensor("x", x) | {"shape": shape}, BinaryTensors(None))
        entry = binary_tensor("x", x) | {"shape": shape}
        assert given.read_short(entry, x.tobytes()) is None


def test_the_short_way_takes_nothing_that_the_long_one_refuses() -> None:
    """Whatever differs from the usual entry is looked at closely."""
    x = np.ones((1, 1, 3), np.float32)
    spec = make_spec()
    given = InputTensor(spec, spec.inputs[0], max_steps=100)
    entry = binary_tensor("x", x)
    given.read(entry, BinaryTensors(x.tobytes()))
    assert given.read_short(entry, x.tobytes()) is not None
    for change in (
        {"datatype": "FP64"},
        {"shape": [1, 2, 3]},
        {"parameters": {"binary_data_size": 11}},
        {"parameters": {"binary_data_size": 12.0}},
        {"parameters": {"binary_data_size": True}},
        {"parameters": {"binary_data_size": 12, "shared_memory_region": "r"}},
        {"parameters": [12]},
        {"data": [1.0] * 3},
    ):
        changed = entry | change
        assert given.read_short(changed, x.tobytes()) is None, change
        with pytest.raises(InvalidRequest):
            read(changed, spec, x.tobytes())
    assert given.read_short(entry, x.tobytes() + b"1") is None
    assert given.read_short(entry, None) is None
    assert given.read_short(entry, b"") is None


def test_the_short_way_of_json_is_as_strict() -> None:
    """Numbers in one list of the right length, and no bytes beside them."""
    x = np.ones((1, 1, 3), np.float32)
    spec = make_spec()
    given = InputTensor(spec, spec.inputs[0], max_steps=100)
    entry = tensor("x", x)
    given.read(entry, BinaryTensors(None))
    assert given.read_short(entry, None) is not None
    for data in (
        [1.0] * 2,
        [1.0] * 4,
        [1.0, 1.0, True],
        [1.0, 1.0, "1"],
        [[[1.0] * 3]],
        3,
        [1e39] * 3,
    ):
        assert given.read_short(entry | {"data": data}, None) is None, data
    assert given.read_short(entry, x.tobytes()) is None
    changes: list[dict[str, Any]] = [{"datatype": "FP64"}, {"shape": [1, 2, 3]}, {"parameters": {}}]
    for change in changes:
        assert given.read_short(entry | change, None) is None
