"""Replays an artifact's golden example before its model is served."""

from collections.abc import Sequence

import numpy as np

from carousel.models.artifact import Artifact
from carousel.models.manifest import ProgramKind
from carousel.models.row import Array, RowLayout
from carousel.models.spec import BATCH, TIME, ModelSpec, TensorSpec
from carousel.service.backends.base import Backend, BackendRefused
from carousel.service.backends.numpy_pool import NumpyPool


def replay_golden(
    artifact: Artifact, kind: ProgramKind, backend: Backend, layout: RowLayout
) -> None:
    """Run the golden example through program and pool; raises BackendRefused if it answers
    otherwise.

    The expected values are the untouched module's own, stored at export.
    """
    spec = artifact.manifest.spec
    golden = artifact.golden()
    _check_names(spec)
    num_rows, num_steps = _sizes(spec, golden)
    _check_tensors(spec, golden, num_rows, num_steps)
    pool = backend.make_pool(num_rows)
    slots = list(range(num_rows))
    if spec.states:
        for slot, row in enumerate(_rows(spec, layout, golden, num_rows)):
            pool.write(slot, row)
    inputs = {
        each.name: np.full(each.row_shape, each.constant, each.dtype)
        if each.constant is not None
        else golden[f"input.{each.name}"]
        for each in spec.inputs
    }
    held = pool.gather(slots)  # (B, N)
    lengths = np.full(num_rows, num_steps, np.int32)  # (B,)
    outputs, states = backend.run(inputs, pool.unpack(held), lengths)
    after = pool.to_host(pool.pack(states, held), slots)  # (B, N)
    backend.wait()
    tolerance = artifact.manifest.programs[kind].tolerance
    for output, value in zip(spec.outputs, outputs, strict=True):
        _compare(output.name, value, golden[f"output.{output.name}"], tolerance)
    host = NumpyPool(spec, layout, num_rows)
    for state, value in zip(spec.states, host.unpack(after), strict=True):
        if not state.fixed:
            _compare(state.name, value, golden[f"state_out.{state.name}"], tolerance)


def repeat_golden(
    artifact: Artifact, layout: RowLayout, num_rows: int, *, single_steps: bool
) -> tuple[dict[str, Array], bytes, int]:
    """The first row of the golden example `num_rows` times over, or its first time step alone:
    inputs in model layout, the state that each starts from, and how many time steps they have.
    """
    spec, golden = artifact.manifest.spec, artifact.golden()
    num_steps = 1 if single_steps else _sizes(spec, golden)[1]
    inputs: dict[str, Array] = {}
    for each in spec.inputs:
        if each.constant is not None:
            inputs[each.name] = np.full(each.row_shape, each.constant, each.dtype)
            continue
        value = golden[f"input.{each.name}"]
        if each.time_axis is not None:
            value = value.take(range(num_steps), each.time_axis)
        if each.batch_axis is not None:
            value = value.take([0] * num_rows, each.batch_axis)
        inputs[each.name] = value
    row = _rows(spec, layout, golden, 1)[0] if spec.states else b""
    return inputs, row, num_steps


def _check_names(spec: ModelSpec) -> None:
    """A tensor is known by its name, and a row by its axis: neither may stand for two."""
    if not spec.outputs:
        raise BackendRefused("the manifest has no output")
    kinds: tuple[Sequence[TensorSpec], ...] = (spec.inputs, spec.outputs, spec.states)
    for kind in kinds:
        if len({each.name for each in kind}) < len(kind):
            raise BackendRefused(f"the manifest has two of one name: {[e.name for e in kind]}")
        for each in kind:
            if each.axes.count(BATCH) > 1 or each.axes.count(TIME) > 1:
                raise BackendRefused(f"the manifest has an axis twice: {each.name} {each.axes}")


def _check_tensors(
    spec: ModelSpec, golden: dict[str, Array], num_rows: int, num_steps: int
) -> None:
    """Programs are picky about dtypes, and packing goes by axes: what differs from them is wrong.

    How many outputs there are of some time steps is for the program to show.
    """
    named: list[tuple[str, TensorSpec, int]] = [
        *((f"input.{each.name}", each, num_rows) for each in spec.sent_inputs),
        *((f"output.{each.name}", each, num_rows) for each in spec.outputs),
        *((f"state.{each.name}", each, num_rows * each.fold) for each in spec.states),
    ]
    for name, each, rows in named:
        found = golden[name]
        if found.dtype != each.dtype:
            raise BackendRefused(
                f"golden example: {name} is {found.dtype}, the manifest says {each.dtype}"
            )
        axis = each.time_axis
        time = num_steps if name.startswith("input.") or axis is None else found.shape[axis]
        if found.shape != each.model_shape(rows, time):
            raise BackendRefused(
                f"golden example: {name} is {found.shape}, the manifest says {each.axes}"
            )


def _sizes(spec: ModelSpec, golden: dict[str, Array]) -> tuple[int, int]:
    """Rows and time steps of the golden example; 1 where the model lacks the axis."""
    num_rows = num_steps = 1
    for each in spec.sent_inputs:
        shape = golden[f"input.{each.name}"].shape
        num_rows = num_rows if each.batch_axis is None else shape[each.batch_axis]
        num_steps = num_steps if each.time_axis is None else shape[each.time_axis]
    return num_rows, num_steps


def _rows(
    spec: ModelSpec, layout: RowLayout, golden: dict[str, Array], num_rows: int
) -> list[bytes]:
    """The golden example's states as rows, each cut from its model layout."""
    return [
        layout.pack(
            {
                each.name: _session(each, each.fold, golden[f"state.{each.name}"], index)
                for each in spec.states
            }
        )
        for index in range(num_rows)
    ]


def _session(spec: TensorSpec, fold: int, value: Array, index: int) -> Array:
    """One session's part of a state in model layout."""
    if spec.batch_axis is None:
        return value
    part = np.take(value, range(index * fold, (index + 1) * fold), axis=spec.batch_axis)
    return part if fold > 1 else part.squeeze(spec.batch_axis)


def _compare(name: str, value: Array, expected: Array, tolerance: float) -> None:
    if value.shape != expected.shape:
        raise BackendRefused(f"golden example: {name} is {value.shape}, not {expected.shape}")
    found, wanted = value.astype(np.float64), expected.astype(np.float64)
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    # What is infinite or NaN must be so again; infinities are equal to themselves.
    differs = (found != wanted) & ~(np.isnan(found) & np.isnan(wanted))
    difference = np.abs(found[differs] - wanted[differs]).max(initial=0.0)
    bound = tolerance * max(1.0, float(largest))
    # Written so that NaN on one side fails.
    if not difference <= bound:
        raise BackendRefused(
            f"golden example: {name} differs by {difference:.3g}, more than {bound:.3g}"
        )
