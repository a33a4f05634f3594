"""The words of a spec: axes, shapes on the wire and in the program, what may be streamed."""

import pytest
from pydantic import TypeAdapter, ValidationError

from carousel.models.spec import Axis, InputSpec, ModelSpec, OutputSpec, StateSpec, TensorSpec


def _tensor(*axes: Axis) -> TensorSpec:
    return TensorSpec(name="x", dtype="float32", axes=axes)


def _state(*axes: Axis, fold: int = 1) -> StateSpec:
    return StateSpec(name="h", dtype="float32", axes=axes, output="h_out", fold=fold)


@pytest.mark.parametrize(
    ("axes", "wire", "model"),
    [
        (("batch", "time", 3), ("time", 3), (5, 7, 3)),
        (("time", "batch", 3), ("time", 3), (7, 5, 3)),
        (("batch", 3, "time", 2), ("time", 3, 2), (5, 3, 7, 2)),
        (("batch", "time"), ("time",), (5, 7)),
        (("batch", 4), (4,), (5, 4)),
        ((1, 1, 32), (1, 1, 32), (1, 1, 32)),
        (("time", 6), ("time", 6), (7, 6)),
        ((), (), ()),
    ],
)
def test_a_tensor_on_the_wire_has_time_first_and_no_batch(
    axes: tuple[Axis, ...], wire: tuple[Axis, ...], model: tuple[int, ...]
) -> None:
    """Wire shape: without batch, time first, the rest in order; the program's is as written."""
    assert _tensor(*axes).wire_shape == wire
    assert _tensor(*axes).model_shape(5, 7) == model


@pytest.mark.parametrize(
    ("state", "session", "model"),
    [
        (_state(2, "batch", 20), (2, 20), (2, 5, 20)),
        (_state("batch", 8), (8,), (5, 8)),
        (_state(2, 3, 1, "batch", 16), (2, 3, 1, 16), (2, 3, 1, 5, 16)),
        (_state(2, 1, "batch", 16, fold=33), (2, 1, 33, 16), (2, 1, 165, 16)),
        (_state(45304), (45304,), (45304,)),
        (_state("batch"), (), (5,)),
    ],
)
def test_a_sessions_state_has_no_batch_axis(
    state: StateSpec, session: tuple[int, ...], model: tuple[int, ...]
) -> None:
    """The batch axis is left out wherever it stands; folded, a session keeps its k rows."""
    assert state.session_shape == session
    assert state.model_shape(5 * state.fold, 1) == model


def _spec(*inputs: InputSpec, states: tuple[StateSpec, ...] = ()) -> ModelSpec:
    output = OutputSpec(name="y", dtype="float32", axes=("batch", 2), per="step")
    return ModelSpec(inputs=inputs, outputs=(output,), states=states, streaming="step")


TIMED = InputSpec(name="x", dtype="float32", axes=("batch", "time", 2))
FRAME = InputSpec(name="x", dtype="float32", axes=("batch", 2))
RATE = InputSpec(name="sr", dtype="int64", axes=(), constant=16000)


def test_a_model_with_state_and_no_time_axis_takes_frames() -> None:
    """Its inputs and outputs gain a time axis on the wire, and a run is one frame."""
    spec = _spec(FRAME, states=(_state(1, "batch", 2),))
    assert (spec.is_framed, spec.max_run_steps) == (True, 1)
    assert spec.wire_shape(FRAME) == ("time", 2)
    assert spec.wire_shape(spec.outputs[0]) == ("time", 2)


def test_a_model_without_state_or_time_axis_takes_items() -> None:
    """Nothing is framed where no state links the frames."""
    spec = _spec(FRAME)
    assert (spec.is_framed, spec.is_streamable) == (False, False)
    assert spec.wire_shape(FRAME) == (2,)


def test_rows_share_a_run_only_if_every_tensor_has_the_batch_axis() -> None:
    """A constant need not have it; an input, an output or a state that lacks it forbids it."""
    assert _spec(TIMED, RATE, states=(_state(1, "batch", 2),)).has_batch
    assert not _spec(TIMED, states=(_state(2),)).has_batch
    bare = InputSpec(name="v", dtype="float32", axes=(2,))
    assert not _spec(TIMED, bare).has_batch


def test_constants_are_not_sent() -> None:
    """A client sends all inputs but those with a constant, also a constant of zero."""
    zero = InputSpec(name="z", dtype="float32", axes=(), constant=0)
    assert _spec(TIMED, RATE, zero).sent_inputs == (TIMED,)


def test_only_a_model_with_state_that_was_measured_can_be_streamed() -> None:
    """No state, or streaming `none`: no session."""
    assert _spec(TIMED, states=(_state(1, "batch", 2),)).is_streamable
    assert not _spec(TIMED).is_streamable
    assert not ModelSpec(
        inputs=(TIMED,), outputs=(), states=(_state(1, "batch", 2),), streaming="none"
    ).is_streamable


@pytest.mark.parametrize(
    "change",
    [{"dtype": "float128"}, {"axes": ["batch", "frames"]}, {"surprise": 1}, {"axes": None}],
)
def test_a_spec_knows_its_words(change: dict[str, object]) -> None:
    """An unknown dtype, axis or field is an error where it is read, never a silent default."""
    good: dict[str, object] = {"name": "x", "dtype": "float32", "axes": ["batch", 2]}
    adapter = TypeAdapter(InputSpec)
    assert adapter.validate_python(good).axes == ("batch", 2)
    with pytest.raises(ValidationError):
        adapter.validate_python(good | change)
