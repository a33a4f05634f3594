"""What the control plane answers: the schema's models, and how to fill them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from carousel.models.spec import (
    BATCH,
    Axis,
    InputSpec,
    ModelSpec,
    OutputSpec,
    StateSpec,
    TensorSpec,
)
from carousel.service.engine.catalog import Catalog
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.sessions.results import SessionInfo

_TIMES = ("created_at", "last_used_at", "expires_at")


class TensorView(BaseModel):
    """A tensor; an axis that varies is the word `batch` or `time`."""

    name: str
    dtype: str
    shape: list[int | Literal["batch", "time"]]


class InputView(TensorView):
    """An input; `low` and `high` bound integers, both ends included."""

    low: int | None = None
    high: int | None = None


class StateTensorView(TensorView):
    """A state. One that is `fixed` is set when a session opens and never changes."""

    fixed: bool | None = Field(None, description="Said where it is true.")


class OutputView(TensorView):
    """An output, one per time step or one per sequence."""

    per: Literal["step", "sequence"]
    stride: int | None = Field(
        None,
        description="Of T time steps come (T + offset) // stride. Left out where there is one for "
        "every step.",
    )
    offset: int | None = Field(None, description="Said beside `stride` where it is not 0.")


class ParityView(BaseModel):
    """How far the program was from the original module when it was exported."""

    max_error: float
    tolerance: float
    num_cases: int
    skipped: list[str]


class ModelInfo(BaseModel):
    """A model that is served. On the wire a tensor goes without `batch` and with `time` first."""

    name: str
    version: int
    versions: list[int]
    program: Literal["onnx", "torchscript"]
    device: Literal["cpu", "cuda"]
    streaming: Literal["step", "last", "none"]
    streaming_reason: str | None = None
    inputs: list[InputView]
    outputs: list[OutputView]
    states: list[StateTensorView]
    parity: ParityView
    min_steps: int | None = Field(
        None, description="Time steps that a sequence has at least. Said where it is not 1."
    )
    max_steps: int = Field(description="Time steps that one request may have.")


class ModelList(BaseModel):
    """Every model, at its highest version."""

    models: list[ModelInfo]


class SessionView(BaseModel):
    """A session; times are RFC 3339."""

    session_id: str
    model: str
    version: int
    state_id: str = Field(description="Names the weights that the session's state fits.")
    position: int
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    state_bytes: int


class SessionList(BaseModel):
    """One page; `next` goes into `after` for the one that follows, null at the end."""

    sessions: list[SessionView]
    next: str | None


class ForkView(BaseModel):
    """What a fork made."""

    position: int
    sessions: list[SessionView]


class StateView(BaseModel):
    """A session's state by name; what is not finite is "NaN", "Infinity" or "-Infinity"."""

    position: int
    state: dict[str, Any]


def show_model(loaded: LoadedModel, catalog: Catalog, max_steps: int) -> dict[str, Any]:
    """A ModelInfo."""
    spec = loaded.spec
    reason = {} if spec.streaming_reason is None else {"streaming_reason": spec.streaming_reason}
    return {
        "name": loaded.name,
        "version": loaded.version,
        "versions": catalog.versions(loaded.name),
        "program": loaded.program,
        "device": loaded.device,
        "streaming": spec.streaming,
        **reason,
        **_show_tensors(spec),
        "parity": _show_parity(loaded),
        **({} if spec.min_sequence == 1 else {"min_steps": spec.min_sequence}),
        "max_steps": min(max_steps, spec.max_sequence or max_steps),
    }


def show_session(info: SessionInfo | Mapping[str, Any]) -> dict[str, Any]:
    """A SessionView."""
    fields = SessionView.model_fields
    values = {
        name: info[name] if isinstance(info, Mapping) else getattr(info, name) for name in fields
    }
    return values | {name: _rfc3339(values[name]) for name in _TIMES}


def _show_tensors(spec: ModelSpec) -> dict[str, Any]:
    return {
        "inputs": [_show(each, each.axes) | _bounds(each) for each in spec.sent_inputs],
        "outputs": [_show(each, each.axes) | _intervals(each) for each in spec.outputs],
        "states": [
            _show(each, _folded(each)) | ({"fixed": True} if each.fixed else {})
            for each in spec.states
        ],
    }


def _show(tensor: TensorSpec, axes: tuple[Axis, ...]) -> dict[str, Any]:
    return {"name": tensor.name, "dtype": tensor.dtype, "shape": list(axes)}


def _folded(state: StateSpec) -> tuple[Axis, ...]:
    """A folded batch axis stays on the wire, as long as one session has rows."""
    return tuple(state.fold if axis == BATCH and state.fold > 1 else axis for axis in state.axes)


def _intervals(output: OutputSpec) -> dict[str, Any]:
    """Per what an output comes, and at which intervals if not at every step."""
    told = {"per": output.per, "stride": output.stride, "offset": output.offset}
    return {name: value for name, value in told.items() if value is not None}


def _bounds(tensor: InputSpec) -> dict[str, int]:
    bounds = {"low": tensor.low, "high": tensor.high}
    return {name: value for name, value in bounds.items() if value is not None}


def _show_parity(loaded: LoadedModel) -> dict[str, Any]:
    program, parity = loaded.manifest.programs[loaded.program], loaded.manifest.parity
    return {
        "max_error": program.max_error,
        "tolerance": program.tolerance,
        "num_cases": sum(case.program == loaded.program for case in parity.cases),
        "skipped": list(parity.skipped),
    }


def _rfc3339(seconds: float) -> str:
    when = datetime.fromtimestamp(seconds, UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")
