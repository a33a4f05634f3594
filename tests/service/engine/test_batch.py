"""Packing rows into a program's inputs and taking its outputs apart, beside loops written out."""

import numpy as np
import pytest

from carousel.models.row import Array
from carousel.models.spec import Axis, InputSpec, ModelSpec, OutputSpec, StateSpec
from carousel.service.engine.batch import Packer, join
from carousel.service.engine.request import Request
from carousel.service.engine.scheduler import Row

STATE = StateSpec(name="h", dtype="float32", axes=(1, "batch", 2), output="h_out")


def _spec(
    *inputs: InputSpec,
    outputs: tuple[OutputSpec, ...] = (),
    states: tuple[StateSpec, ...] = (STATE,),
) -> ModelSpec:
    return ModelSpec(inputs=inputs, outputs=outputs, states=states, streaming="step")


def _input(*axes: Axis, name: str = "x") -> InputSpec:
    return InputSpec(name=name, dtype="float32", axes=axes)


def _output(*axes: Axis, name: str = "y", per: str = "step") -> OutputSpec:
    assert per in ("step", "sequence")
    return OutputSpec(
        name=name, dtype="float32", axes=axes, per="step" if per == "step" else "sequence"
    )


def _row(start: int, length: int, **inputs: Array) -> Row:
    return Row(Request(inputs, start + length, 0.0), start, length)


def _numbers(*shape: int) -> Array:
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(
    "axes",
    [("batch", "time", 3), ("time", "batch", 3), ("batch", 3, "time"), ("time", 3, "batch")],
)
def test_rows_go_to_their_place_and_padding_is_zero(axes: tuple[Axis, ...]) -> None:
    """Whatever the order of axes: (b, t, f) is row b at time step t, zeros behind its end."""
    packer = Packer(_spec(_input(*axes)))
    rows = [_row(0, 4, x=_numbers(4, 3)), _row(2, 3, x=_numbers(9, 3) * 10)]

    batch = packer.pack(rows)

    x = batch.inputs["x"]
    assert x.flags.c_contiguous
    assert batch.lengths.tolist() == [4, 3]
    for b, row in enumerate(rows):
        for t in range(4):
            for f in range(3):
                place = tuple({"batch": b, "time": t}.get(str(axis), f) for axis in axes)
                there = row.request.inputs["x"][row.start + t, f] if t < row.length else 0
                assert x[place] == there


@pytest.mark.parametrize(
    "axes",
    [("batch", "time", 2), ("time", "batch", 2), (2, "batch", "time"), ("time", 2, "batch")],
)
def test_each_row_gets_its_piece_without_the_padding(axes: tuple[Axis, ...]) -> None:
    """Outputs come back in wire layout, (T, O...), as long as the row."""
    packer = Packer(_spec(_input("batch", "time", 3), outputs=(_output(*axes),)))
    rows = [_row(0, 4, x=_numbers(4, 3)), _row(0, 3, x=_numbers(3, 3))]
    wanted = _numbers(2, 4, 2)  # (B, T, O)
    order = ["batch", "time", 2]
    output = np.ascontiguousarray(wanted.transpose([order.index(axis) for axis in axes]))

    pieces = packer.unpack(rows, [output])

    assert [piece["y"].shape for piece in pieces] == [(4, 2), (3, 2)]
    assert (pieces[0]["y"] == wanted[0]).all()
    assert (pieces[1]["y"] == wanted[1, :3]).all()


def test_an_output_of_the_sequence_has_no_time_axis() -> None:
    """Per sequence: (O...), whole, whatever the row's length."""
    packer = Packer(
        _spec(_input("batch", "time", 3), outputs=(_output(5, "batch", per="sequence"),))
    )
    rows = [_row(0, 4, x=_numbers(4, 3)), _row(0, 3, x=_numbers(3, 3))]
    pieces = packer.unpack(rows, [_numbers(5, 2)])
    assert [piece["y"].tolist() for piece in pieces] == [[1, 3, 5, 7, 9], [2, 4, 6, 8, 10]]


def test_frames_are_picked_and_come_back_as_one_time_step() -> None:
    """A framed model is given frame `start` of each row; its output gains the time axis."""
    packer = Packer(_spec(_input("batch", 2), outputs=(_output("batch", 2),)))
    rows = [_row(0, 1, x=_numbers(3, 2)), _row(2, 1, x=_numbers(3, 2))]
    batch = packer.pack(rows)
    assert batch.inputs["x"].tolist() == [[1, 2], [5, 6]]
    pieces = packer.unpack(rows, [batch.inputs["x"] * 2])
    assert [piece["y"].tolist() for piece in pieces] == [[[2, 4]], [[10, 12]]]


@pytest.mark.parametrize("axes", [("time", 3), (3, "time")])
def test_a_model_without_a_batch_axis_gets_its_row_bare(axes: tuple[Axis, ...]) -> None:
    """One row a run, no axis added or lost on the way in or out."""
    alone = StateSpec(name="h", dtype="float32", axes=(2,), output="h_out")
    packer = Packer(_spec(_input(*axes), outputs=(_output(*axes),), states=(alone,)))
    row = _row(1, 3, x=_numbers(4, 3))
    batch = packer.pack([row])
    assert batch.inputs["x"].shape == tuple({"time": 3}.get(str(axis), 3) for axis in axes)
    (piece,) = packer.unpack([row], [batch.inputs["x"]])
    assert (piece["y"] == row.request.inputs["x"][1:4]).all()


def test_a_single_number_stays_one() -> None:
    """An input of a model without batch and time axes may be a bare number: shape ()."""
    alone = StateSpec(name="h", dtype="float32", axes=(), output="h_out")
    packer = Packer(_spec(_input(), outputs=(_output(),), states=(alone,)))
    row = _row(1, 1, x=_numbers(4))
    batch = packer.pack([row])
    assert batch.inputs["x"].shape == ()
    (piece,) = packer.unpack([row], [batch.inputs["x"]])
    assert piece["y"].tolist() == [2]


def test_constants_and_inputs_without_time_reach_every_chunk() -> None:
    """A constant is what the spec says, an input without time axis the request's own, each run."""
    rate = InputSpec(name="sr", dtype="int64", axes=(), constant=16000)
    zero = InputSpec(name="z", dtype="float32", axes=(2,), constant=0)
    packer = Packer(_spec(_input("batch", "time", 1), _input("batch", 2, name="v"), rate, zero))
    first = _row(0, 2, x=_numbers(5, 1), v=_numbers(2))
    later = _row(2, 2, x=_numbers(5, 1), v=_numbers(2) * 10)
    inputs = packer.pack([first, later]).inputs
    assert (inputs["sr"].shape, inputs["sr"].dtype.name) == ((), "int64")
    assert inputs["sr"] == 16000
    assert inputs["z"].tolist() == [0, 0]
    assert inputs["v"].tolist() == [[1, 2], [10, 20]]
    assert inputs["x"][:, :, 0].tolist() == [[1, 2], [3, 4]]


def test_token_ids_have_no_feature_axis() -> None:
    """(B, T) of integers, padded with id 0, in their own dtype."""
    ids = InputSpec(name="ids", dtype="int64", axes=("time", "batch"), low=0, high=9)
    packer = Packer(_spec(ids))
    batch = packer.pack([_row(0, 3, ids=np.asarray([7, 8, 9])), _row(0, 1, ids=np.asarray([5]))])
    assert batch.inputs["ids"].dtype == np.int64
    assert batch.inputs["ids"].tolist() == [[7, 5], [8, 0], [9, 0]]


def test_chunks_are_joined_as_the_output_says() -> None:
    """Per step: all, in order; per sequence: what the last chunk said."""
    spec = _spec(
        _input("batch", "time", 1),
        outputs=(
            _output("batch", "time", 1),
            _output("batch", 1, name="last", per="sequence"),
        ),
    )
    pieces: list[dict[str, Array]] = [
        {"y": _numbers(2, 1), "last": _numbers(1)},
        {"y": _numbers(1, 1) * 7, "last": _numbers(1) * 9},
    ]
    joined = join(spec, pieces)
    assert joined["y"].tolist() == [[1], [2], [7]]
    assert joined["last"].tolist() == [9]
