"""What a served model is: names, dtypes and axes of its tensors, and how it may be streamed.

Letters in shapes: B batch rows, T time steps, F features, L layers x directions, H hidden size.
Three layouts meet here. *Model layout* is what the program takes: `(T, B, F)` or `(B, T, F)`, as
the axes say. *Wire layout* is what clients and sessions hold: one sequence, without `batch`, `time`
first. *Row layout* is the state of one session as bytes (models/row.py).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

BATCH: Literal["batch"] = "batch"
TIME: Literal["time"] = "time"

Axis = int | Literal["batch", "time"]
Dtype = Literal["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]
Streaming = Literal["step", "last", "none"]
Per = Literal["step", "sequence"]

_STRICT = ConfigDict(extra="forbid")


def _is_none(value: object) -> bool:
    return value is None


# What a manifest may say of sizes and counts: one below is a slip, or meant to do harm.
_Size = Annotated[int, Field(ge=0)]
_Count = Annotated[int, Field(ge=1)]

# Left out of a manifest where it is None: artifacts from before there was such a field are sealed
# without it, and must still be what their sum says.
ABSENT = Field(exclude_if=_is_none)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor of a program; `axes` holds sizes and the words `batch` and `time`, outermost
    first.
    """

    __pydantic_config__ = _STRICT

    name: str
    dtype: Dtype
    axes: tuple[_Size | Literal["batch", "time"], ...]

    @property
    def batch_axis(self) -> int | None:
        """Where the batch axis stands, or None where the tensor has none."""
        return self.axes.index(BATCH) if BATCH in self.axes else None

    @property
    def time_axis(self) -> int | None:
        """Where the time axis stands, or None where the tensor has none."""
        return self.axes.index(TIME) if TIME in self.axes else None

    @property
    def row_shape(self) -> tuple[int, ...]:
        """Sizes of what is left of one row at one time step: the axes but for batch and time."""
        return tuple(axis for axis in self.axes if isinstance(axis, int))

    @property
    def wire_shape(self) -> tuple[Axis, ...]:
        """The shape a client sees: without batch, time first, the rest in order."""
        return ((TIME,) if self.time_axis is not None else ()) + self.row_shape

    def model_shape(self, batch: int, time: int) -> tuple[int, ...]:
        """The program's shape at `batch` rows and `time` steps."""
        sizes = {BATCH: batch, TIME: time}
        return tuple(axis if isinstance(axis, int) else sizes[axis] for axis in self.axes)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec(TensorSpec):
    """An input a client sends. `low` and `high` bound integer values, both ends included (token
    ids).

    `constant` is the value of an input that clients never send (a sample rate). `context` is how
    many samples of the previous input stand in front of each new one, kept with the session's
    state; `context_axis` is the axis along which they stand. `axes` are those of the new samples
    alone: the program sees `context` more. Along an axis that is not `time` they stand in front of
    every time step. `counts_steps`: its values say how many of the sequence's time steps count.
    """

    low: int | None = None
    high: int | None = None
    constant: float | int | bool | None = None
    context: _Size = 0
    context_axis: Annotated[_Size | None, ABSENT] = None
    counts_steps: Annotated[bool | None, ABSENT] = None

    @property
    def kept_axes(self) -> tuple[Axis, ...]:
        """The axes of the samples that are kept: `context` of them, of one time step."""
        assert self.context_axis is not None, f"{self.name} keeps no context"
        kept = list(self.axes)
        kept[self.context_axis] = self.context
        return tuple(axis for axis in kept if axis != TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec(TensorSpec):
    """An output. `per` says whether it belongs to every time step or to the sequence as a whole.

    `stride` and `offset`: of T time steps come (T + offset) // stride outputs, of a model that
    shortens time; None where there is one for every step, 1 where an offset alone differs.
    """

    per: Per
    stride: Annotated[_Count | None, ABSENT] = None
    offset: Annotated[int | None, ABSENT] = None

    def num_steps(self, time: int) -> int:
        """How many outputs come of `time` steps."""
        return max(0, (time + (self.offset or 0)) // (self.stride or 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSpec(TensorSpec):
    """A state: program input `name` and program output `output`, paired here and never by sort
    order.

    `fold` is how many rows of the batch axis belong to one session (axis `batch` is then B * fold
    long, a session's rows standing together). `fixed`: set when the session opens and never
    changed, so there is no `output`. `finite`: whether infinities and NaN in it mean that the
    session is poisoned. `has_initial`: its first value is stored in the artifact; otherwise it is
    zero. `context_of`: the input whose last samples it keeps; the program itself does not know it.
    """

    output: str | None
    fold: _Count = 1
    finite: bool = True
    fixed: bool = False
    has_initial: bool = False
    context_of: Annotated[str | None, ABSENT] = None

    @property
    def is_required(self) -> bool:
        """Whether a session must be opened with it: it never changes, and no value is stored."""
        return self.fixed and not self.has_initial

    @property
    def session_shape(self) -> tuple[int, ...]:
        """The shape of one session's state: `batch` left out, or `fold` long where it is folded."""
        return tuple(
            self.fold if axis == BATCH else axis
            for axis in self.axes
            if isinstance(axis, int) or (axis == BATCH and self.fold > 1)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """All a server must know to run a recurrent model; what is in it was measured by the exporter.

    `streaming`: `step`, outputs of chunks joined equal the whole; `last`, the output belongs to the
    last time step; `none`, whole sequences only, for the reason given. `run_steps`: how many time
    steps the program takes in one run (1 for a loop over cells lifted at T = 1), None where any
    number will do. `least_steps` and `most_steps`: the shortest and the longest sequence that the
    original takes, None where none is too short or too long.
    """

    __pydantic_config__ = _STRICT

    inputs: tuple[InputSpec, ...]
    outputs: tuple[OutputSpec, ...]
    states: tuple[StateSpec, ...] = ()
    streaming: Streaming = "none"
    streaming_reason: str | None = None
    run_steps: _Count | None = None
    least_steps: Annotated[_Count | None, ABSENT] = None
    most_steps: Annotated[_Count | None, ABSENT] = None

    @property
    def sent_inputs(self) -> tuple[InputSpec, ...]:
        """The inputs that clients send: all but the constants."""
        return tuple(each for each in self.inputs if each.constant is None)

    @property
    def program_states(self) -> tuple[StateSpec, ...]:
        """The states that the program takes: all but the context of inputs."""
        return tuple(each for each in self.states if each.context_of is None)

    @property
    def starts_in_part(self) -> bool:
        """Whether a start may leave out states that have an initial value: the fixed ones may come
        alone. Without fixed ones a start that is not whole is a mistake.
        """
        return any(each.fixed for each in self.states)

    @property
    def has_batch(self) -> bool:
        """Whether rows of strangers may share a run; False means one row at a time."""
        tensors = (*self.sent_inputs, *self.outputs, *self.states)
        return all(each.batch_axis is not None for each in tensors)

    @property
    def has_time(self) -> bool:
        """Whether any input has a time axis; without one, one run is one frame."""
        return any(each.time_axis is not None for each in self.inputs)

    @property
    def is_framed(self) -> bool:
        """True for a model with state and no time axis: a sequence is then many runs, one a
        frame.
        """
        return bool(self.states) and not self.has_time

    @property
    def is_streamable(self) -> bool:
        """Whether a session may be opened on the model."""
        return self.streaming != "none" and bool(self.states)

    @property
    def min_sequence(self) -> int:
        """The fewest time steps of a sequence: what the original takes, and gives an output for."""
        strides = [(each.stride or 1) - (each.offset or 0) for each in self.outputs]
        return max([1, self.least_steps or 1, *strides])

    @property
    def max_sequence(self) -> int | None:
        """The most time steps of a sequence; None where any number will do, as in a stream."""
        return None if self.is_streamable and self.max_position is None else self.most_steps

    @property
    def max_position(self) -> int | None:
        """The most time steps of a session; None where any number will do. A program of single
        steps is known for as many as the original takes in one sequence (a table of positions).
        """
        return None if self.run_steps is None else self.most_steps

    @property
    def max_run_steps(self) -> int | None:
        """The most time steps one run may take: 1 for frames, `run_steps` or as many as the
        original takes otherwise; a sequence that is no stream runs in one.
        """
        if self.is_framed:
            return 1
        return self.most_steps if self.run_steps is None and self.is_streamable else self.run_steps

    def wire_shape(self, tensor: TensorSpec) -> tuple[Axis, ...]:
        """The shape of an input or output on the wire; a framed model's tensors gain a `time` in
        front.

        A sequence-wide output of a framed model cannot exist, so every output of one is framed too.
        """
        return ((TIME,) if self.is_framed else ()) + tensor.wire_shape
