"""The ModelSpec of a foreign model, from a fit and the roles of its tensors."""

from collections.abc import Iterator, Sequence

from carousel.export import flags
from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.files.program import Port, Program
from carousel.export.measured.axes import Fitted
from carousel.export.measured.sampling import Axes
from carousel.export.options import Options
from carousel.export.reading.fitting import Fit, Rejected
from carousel.export.reading.roles import Roles
from carousel.models.spec import (
    BATCH,
    TIME,
    Axis,
    Dtype,
    InputSpec,
    ModelSpec,
    OutputSpec,
    StateSpec,
)


def describe(program: Program, fit: Fit, roles: Roles, options: Options) -> ModelSpec:
    """Names, dtypes and axes; the streaming kind is measured later. Raises Rejected."""
    ports, outputs = program.inputs, program.outputs
    kept = {*roles.pairs, *roles.fixed, program.lengths}
    inputs = tuple(_input(port, fit, program, options) for port in ports if port.name not in kept)
    states = tuple(_states(ports, fit, roles, options))
    names = {each.name for each in ports}
    contexts = tuple(_context(each, names, options) for each in inputs if each.context)
    return ModelSpec(
        inputs=inputs,
        outputs=tuple(_outputs(outputs, fit, roles, options, framed=bool(states or contexts))),
        states=(*states, *contexts),
    )


def _input(port: Port, fit: Fit, program: Program, options: Options) -> InputSpec:
    if port.name in options.constants:
        return InputSpec(
            name=port.name,
            dtype=port.dtype,
            axes=tuple(axis for axis in port.axes if isinstance(axis, int)),
            constant=options.constants[port.name],
        )
    axes = fit.guess.axes[port.name]
    low, high = fit.draws.spans.get(port.name, (None, None))
    counts = port.name in program.counting
    if counts and port.name not in options.ranges:
        low, high = 0, program.counting[port.name]  # the span was for drawing
    context, along = options.contexts.get(port.name), fit.guess.along.get(port.name)
    if context is not None and along is not None:
        axes = _new_samples(port.name, axes, along, context.samples)
    return InputSpec(
        name=port.name,
        dtype=port.dtype,
        axes=axes,
        low=low,
        high=high,
        context=0 if context is None else context.samples,
        context_axis=along,
        counts_steps=(counts and fit.guess.time) or None,
    )


def _new_samples(name: str, axes: Axes, along: int, samples: int) -> Axes:
    """The axes without the samples that stand in front."""
    size = axes[along]
    if not isinstance(size, int):
        return axes
    least = samples if TIME in axes else 1
    if size - samples < least:
        raise InvalidRequest(
            f"--context: {name} has {size} samples in all, too few for {samples} of context"
        )
    return tuple(size - samples if place == along else axis for place, axis in enumerate(axes))


def _states(ports: Sequence[Port], fit: Fit, roles: Roles, options: Options) -> Iterator[StateSpec]:
    for port in ports:
        if port.name in roles.pairs or port.name in roles.fixed:
            yield StateSpec(
                name=port.name,
                dtype=port.dtype,
                axes=fit.guess.axes[port.name],
                output=roles.pairs.get(port.name),
                fold=fit.guess.folds[port.name],
                fixed=port.name in roles.fixed,
                has_initial=port.name in options.initial,
            )


def _context(given: InputSpec, taken: set[str], options: Options) -> StateSpec:
    name = f"{given.name}.context"
    while name in taken:
        name += "_"
    return StateSpec(
        name=name,
        dtype=given.dtype,
        axes=given.kept_axes,
        output=None,
        has_initial=name in options.initial,
        context_of=given.name,
    )


def _outputs(
    outputs: Sequence[str], fit: Fit, roles: Roles, options: Options, *, framed: bool
) -> Iterator[OutputSpec]:
    # A model that gives nothing but states answers with them.
    wanted = (
        options.outputs
        or [each for each in outputs if each not in roles.pairs.values()]
        or list(outputs)
    )
    for name in wanted:
        fitted = fit.outputs[name]
        if fitted is None:
            reason = f"the sizes of the output {name} follow neither batch nor time"
            raise Rejected("shape", reason, _left_out(reason, wanted, fit))
        axes = fitted.axes
        if fitted.fold > 1:
            raise Rejected(
                "shape", f"the output {name} has {fitted.fold} rows for each row of the batch"
            )
        if fit.guess.batch and BATCH not in axes:
            reason = f"the output {name} has no batch axis of its own"
            others = [each for each in wanted if _has_batch(fit.outputs[each])]
            way_out = f"leave it out, for rows to share runs: {flags.outputs(others)}"
            raise Rejected("rows", reason, ExportRefused(reason, way_out) if others else None)
        step = TIME in axes or (framed and not fit.guess.time)
        yield OutputSpec(
            name=name,
            dtype=_dtype(name, fit),
            axes=axes,
            per="step" if step else "sequence",
            stride=fitted.interval,
            offset=fitted.offset or None,
        )


def _has_batch(fitted: Fitted | None) -> bool:
    return fitted is not None and BATCH in fitted.axes


def _left_out(reason: str, wanted: Sequence[str], fit: Fit) -> ExportRefused | None:
    """The refusal that names the outputs which can be served, if any can."""
    others = [each for each in wanted if fit.outputs[each] is not None]
    return ExportRefused(reason, f"leave it out: {flags.outputs(others)}") if others else None


def _dtype(name: str, fit: Fit) -> Dtype:
    dtype: Dtype = str(fit.dtypes[name]).removeprefix("torch.")  # type: ignore[assignment]
    return dtype


def without_batch(spec: ModelSpec) -> str | None:
    """The first tensor without a batch axis where others have one."""
    tensors = (*spec.sent_inputs, *spec.outputs, *spec.states)
    axes: list[tuple[Axis, ...]] = [each.axes for each in tensors]
    if not any(BATCH in each for each in axes):
        return None
    return next((each.name for each in tensors if BATCH not in each.axes), None)
