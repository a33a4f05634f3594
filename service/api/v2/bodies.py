"""The bodies of the Open Inference Protocol, as the schema shows them.

The inference request is read by hand (request.py). Other members and parameters are passed over.
"""

from typing import Annotated, Any

from pydantic import BaseModel, Field

Parameters = Annotated[
    dict[str, Any] | None,
    Field(
        description="`sequence_id` (an integer or a string), `sequence_start`, `sequence_end` and "
        "`position` make the request a step of a sequence; `binary_data_output` asks for binary "
        "outputs."
    ),
]


class OipTensor(BaseModel):
    """A tensor as a model takes or gives it."""

    name: str
    datatype: str
    shape: list[int] = Field(description="-1 for what may vary; batch first, then time.")


class OipServer(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class OipModel(BaseModel):
    """A model."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[OipTensor]
    outputs: list[OipTensor]
    states: list[OipTensor] = Field(
        description="May be sent as inputs, all or none, and asked for as outputs."
    )


class OipLive(BaseModel):
    """Whether the process is of use."""

    live: bool
    error: str | None = None


class OipReady(BaseModel):
    """Whether to send requests here."""

    live: bool
    ready: bool
    error: str | None = None


class OipModelReady(BaseModel):
    """Whether a model can be asked."""

    name: str
    ready: bool
    error: str | None = None


class OipError(BaseModel):
    """An error; the text begins with its code."""

    error: str


class OipInput(BaseModel):
    """An input: its values in `data`, flat or nested, or `parameters.binary_data_size` bytes."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None


class OipAsked(BaseModel):
    """An output that the answer shall have; `parameters.binary_data` says how."""

    name: str
    parameters: dict[str, Any] | None = None


class OipRequest(BaseModel):
    """An inference request."""

    id: str | None = Field(None, description="Comes again in the answer.")
    parameters: Parameters = None
    inputs: Annotated[list[OipInput], Field(min_length=1)]
    outputs: list[OipAsked] | None = Field(None, description="Absent: all outputs, no states.")


class OipOutput(BaseModel):
    """An output; in binary, `parameters.binary_data_size` stands in place of `data`."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[Any] | None = None


class OipResponse(BaseModel):
    """An inference response."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, Any] | None = Field(
        None,
        description="Of a sequence: `sequence_id`, `session_id`, `position`, `replayed`, and "
        "`restarted` where a start gave up a live sequence.",
    )
    outputs: list[OipOutput]
