"""What was found in a foreign model, and why: one line a tensor."""

from collections.abc import Iterator

from carousel.export.importing.settle import Settled
from carousel.export.progress import Progress
from carousel.models.spec import BATCH, InputSpec, ModelSpec, StateSpec, TensorSpec


def tell(name: str, settled: Settled, progress: Progress) -> None:
    """Say what each tensor is taken for."""
    progress.line(f"{name}: what was found")
    rows = list(_rows(settled.spec, settled.why))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        progress.line(f"  {'  '.join(cells)}  {row[3]}")


def _rows(spec: ModelSpec, why: dict[str, str]) -> Iterator[tuple[str, str, str, str]]:
    for given in spec.inputs:
        yield (given.name, given.dtype, _shape(given), _input(given))
    for state in spec.states:
        text = _state(state)
        reason = why.get(state.name)
        yield (state.name, state.dtype, _shape(state), f"{text}; {reason}" if reason else text)
    for output in spec.outputs:
        per = "one for every step" if output.per == "step" else "one for the sequence"
        yield (output.name, output.dtype, _shape(output), f"output, {per}")


def _input(spec: InputSpec) -> str:
    if spec.constant is not None:
        return f"constant {spec.constant}"
    if spec.context:
        return f"sent by clients; the model sees {spec.context} kept samples in front"
    if spec.low is not None:
        return f"sent by clients, from {spec.low} to {spec.high}"
    return "sent by clients"


def _state(spec: StateSpec) -> str:
    if spec.context_of is not None:
        return f"state, the last samples of {spec.context_of}"
    start = ", starts at the given values" if spec.has_initial else ""
    if spec.fixed:
        return f"state, set when a session opens{start}"
    return f"state, comes back as {spec.output}{start}"


def _shape(spec: TensorSpec) -> str:
    folded = isinstance(spec, StateSpec) and spec.fold > 1
    axes = [
        f"{axis}*{spec.fold}" if folded and isinstance(spec, StateSpec) and axis == BATCH else axis
        for axis in spec.axes
    ]
    return f"({', '.join(map(str, axes))})"
