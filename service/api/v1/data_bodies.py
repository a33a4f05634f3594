"""The JSON bodies of the data plane, as the schema shows them.

Their routes read them by hand and much faster, and take the names of the members from here.
"""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from carousel.service.api.http.problem import Problem
from carousel.service.api.v1.control_bodies import Body, Position, Ttl

_ARRAY = (
    "One sequence, `[time][features...]` (`[time]` for token ids); for a model with several "
    "inputs an object of arrays by input name."
)
_OUTPUT = (
    "`[time][...]` for an output per step, `[...]` for one per sequence; for a model with several "
    "outputs an object by output name. What is not finite is a string: `NaN`, `Infinity`."
)

Array = Annotated[Any, Field(description=_ARRAY)]
Output = Annotated[Any, Field(description=_OUTPUT)]
State = dict[str, Any]


class StepBody(Body):
    """The next time steps of a session."""

    inputs: Array
    position: Position | None = Field(
        None, description="Where the step starts. A step that names it may be retried safely."
    )
    return_state: bool = False
    commit: bool = Field(True, description="False answers what the step would give, and no more.")


class StepResult(BaseModel):
    """What the time steps gave, and where the session stands now."""

    outputs: Output
    position: int
    state: State | None = Field(None, description="With `return_state`.")


class InferBody(Body):
    """Sequences to run; their lengths may differ."""

    sequences: Annotated[list[Array], Field(min_length=1)]
    states: list[State | None] | None = Field(
        None,
        description="Where each sequence starts; absent or null: the model's initial values. A "
        "model with `fixed` states must be given those; others may be left out then.",
    )
    return_state: bool = False


class InferResult(BaseModel):
    """What the model gave, one entry for each sequence."""

    model: str
    version: int
    outputs: list[Output]
    states: list[State] | None = Field(None, description="With `return_state`.")


class BulkStep(Body):
    """A step of one of the sessions."""

    session_id: str
    inputs: Array
    position: Position | None = None


class BulkBody(Body):
    """Steps of many sessions; those of one session run in this order."""

    steps: Annotated[list[BulkStep], Field(min_length=1)]


class BulkResult(BaseModel):
    """What became of one step: outputs and position, or an error."""

    session_id: str
    outputs: Output = None
    position: int | None = None
    replayed: bool | None = None
    error: Problem | None = None


class BulkResults(BaseModel):
    """One entry for each step, in the same order."""

    results: list[BulkResult]


_COLUMN = (
    "The inputs of all rows: `[rows][features...]` or `[rows][time][features...]`; with `lengths` "
    "`[time steps of all rows][features...]`, row after row. For a model with several inputs an "
    "object of arrays by input name; one without a time axis has one value a row."
)
_OUTPUT_COLUMN = (
    "The outputs of all rows, as the inputs are: without time, with it, or one row behind the "
    "other. `null` in rows at fault. For a model with several outputs an object by output name."
)


class ColumnarHead(Body):
    """What holds for all rows."""

    model: str
    version: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="What the inputs are read for, and sessions opened on. Absent: the highest.",
    )
    open: bool = Field(
        False,
        description="Start a session where there is none or an expired one, if its row names "
        "position 0 or none.",
    )
    ttl_s: Ttl | None = Field(None, description="Of sessions that are opened.")


class ColumnarBody(ColumnarHead):
    """A step of each of many sessions of one model, every one named once."""

    session_ids: Annotated[list[str], Field(min_length=1)]
    inputs: Annotated[Any, Field(description=_COLUMN)]
    positions: list[Position | None] | None = Field(
        None, description="Where each row starts; null in rows that do not say it."
    )
    lengths: list[Annotated[int, Field(ge=0)]] | None = Field(
        None, description="How many time steps each row has, where rows are packed."
    )


class ColumnarResult(BaseModel):
    """What became of the rows, in order."""

    outputs: Annotated[Any, Field(description=_OUTPUT_COLUMN)]
    positions: list[int | None] = Field(
        description="Where each session stands; null where there is none, or it was not looked at."
    )
    replayed: list[int] | None = Field(
        None, description="Rows that are answered again: they were done before."
    )
    opened: list[int] | None = Field(None, description="Rows whose session was started.")
    errors: dict[str, Problem] = Field(description="By row, of those at fault.")
