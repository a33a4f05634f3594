"""The ModelSpec of a module, from what was measured about it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

import torch

from carousel.export.discovery.layout import Layout
from carousel.export.discovery.probes import Probe
from carousel.export.discovery.spans import vocabulary
from carousel.export.discovery.state import States, StateVar, final
from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.measured.sampling import Axes
from carousel.export.module.original import Original
from carousel.export.module.tree import labels
from carousel.models.spec import TIME, Dtype, InputSpec, ModelSpec, OutputSpec, StateSpec

Ranges = Mapping[str, tuple[int, int]]

_MOST_IDS = 2**24  # no vocabulary has more


def describe(
    original: Original,
    layout: Layout,
    states: States,
    outputs: Mapping[str, str],
    ranges: Ranges,
) -> ModelSpec:
    """Names, dtypes, axes, ranges; the streaming kind is measured later. `outputs` names them."""
    framed = bool(states.variables) and not layout.time
    return ModelSpec(
        inputs=tuple(_inputs(original, layout, states, ranges)),
        outputs=tuple(
            OutputSpec(
                name=name,
                dtype=_dtype(name, layout.probes[0].seen.outputs[leaf]),
                axes=layout.outputs[leaf].axes,
                per="step" if framed or TIME in layout.outputs[leaf].axes else "sequence",
                stride=layout.outputs[leaf].interval,
                offset=layout.outputs[leaf].offset or None,
            )
            for leaf, name in outputs.items()
        ),
        states=tuple(_state(each, layout) for each in states.variables),
        run_steps=1 if states.step is not None or (states.looped and layout.time) else None,
    )


def name_outputs(
    layout: Layout, states: Sequence[StateVar], wanted: Sequence[str] | None
) -> dict[str, str]:
    """A name for each output tensor of `forward` that is no state, unlike any other name."""
    leaves = list(layout.outputs)
    if wanted is not None:
        if len(wanted) != len(leaves) or len(set(wanted)) != len(wanted):
            raise InvalidRequest(
                f"output_names: {len(leaves)} different names are needed, not {tuple(wanted)}"
            )
        names = list(wanted)
    else:
        short = labels(layout.probes[0].seen.tree, "output")
        plain = ["output"] if len(leaves) == 1 else [f"output_{i}" for i in range(len(leaves))]
        names = [short.get(leaf, name) for leaf, name in zip(leaves, plain, strict=True)]
    taken = {*layout.sampler.axes, *(name for each in states for name in _names(each))}
    found: dict[str, str] = {}
    for leaf, name in zip(leaves, names, strict=True):
        while name in taken:
            name += "_out"  # as with states: what goes in and what comes out differ in name
        taken.add(name)
        found[leaf] = name
    return found


def lengths_name(spec: ModelSpec, own: str | None) -> str:
    """A name for the lengths that meets no other: forward's own, or `lengths`."""
    taken = {each.name for each in (*spec.inputs, *spec.outputs, *spec.states)}
    return next(
        name for name in (own or "lengths", "sequence_lengths", "row_lengths") if name not in taken
    )


def _names(state: StateVar) -> tuple[str, ...]:
    return (state.name,) if state.fixed else (state.name, f"{state.name}_out")


def _state(state: StateVar, layout: Layout) -> StateSpec:
    known = state.fixed or state.is_told
    seen = [_value(state, probe) for probe in layout.probes] if known else [_start(state)]
    return StateSpec(
        name=state.name,
        dtype=_named_dtype(state.name, state.dtype),
        axes=state.axes,
        output=None if state.fixed else f"{state.name}_out",
        fold=state.fold,
        finite=all(bool(torch.isfinite(each).all()) for each in seen),
        fixed=state.fixed,
        has_initial=state.initial is not None,
    )


def _start(state: StateVar) -> torch.Tensor:
    """What a state holds that no run tells: where it starts."""
    return torch.zeros(()) if state.initial is None else state.initial


def _value(state: StateVar, probe: Probe) -> torch.Tensor:
    """What a state held after a run."""
    if state.fixed:
        assert state.argument is not None
        return probe.values[state.argument]
    return final(state, probe.seen)


def _inputs(
    original: Original, layout: Layout, states: States, ranges: Ranges
) -> Iterator[InputSpec]:
    arguments = {each.argument for each in states.variables}
    unknown = set(ranges) - set(layout.sampler.axes)
    if unknown:
        raise InvalidRequest(f"ranges: there is no input {sorted(unknown)[0]!r}")
    for name, axes in layout.sampler.axes.items():
        if name in arguments or name == layout.sampler.lengths:
            continue
        example = layout.sampler.example[name]
        counts = name in layout.sampler.counts
        own = (1, None) if counts else _tokens(original, layout, name)
        low, high = ranges.get(name, own)
        constant = example.item() if example.dim() == 0 else None
        if name in ranges:
            _check_range(name, example.dtype, ranges[name])
        yield InputSpec(
            name=name,
            dtype=_dtype(name, example),
            axes=axes,
            low=low,
            high=high,
            constant=constant,
            counts_steps=True if counts else None,
        )


def _check_range(name: str, dtype: torch.dtype, span: tuple[int, int]) -> None:
    """Raise InvalidRequest where no such values can be sent."""
    kind = _named_dtype(name, dtype)
    if dtype.is_floating_point:
        raise InvalidRequest(f"ranges: {name} is {kind}, and a range is of integers")
    known = torch.iinfo(torch.uint8 if dtype == torch.bool else dtype)
    if not known.min <= span[0] <= span[1] <= known.max:
        raise InvalidRequest(f"ranges: {name} is {kind}, which {span[0]}..{span[1]} is not")


def _tokens(original: Original, layout: Layout, name: str) -> tuple[int | None, int | None]:
    """The ids that every embedding fed by the input `name` knows, or that forward takes."""
    probe = layout.probes[-1]
    value = probe.values[name]
    if value.is_floating_point() or value.dtype == torch.bool or value.numel() == 0:
        return None, None
    known = vocabulary(value, probe.seen.calls)
    if known is not None:
        return 0, known - 1
    return (None if _takes_negative(original, probe, name) else 0), _highest(original, probe, name)


def _highest(original: Original, probe: Probe, name: str) -> int | None:
    """The highest integer that forward takes (classes of a one-hot code), None where any is."""

    def takes(number: int) -> bool:
        value = probe.values[name].clone()
        value.view(-1)[0] = number
        try:
            original.run({**probe.values, name: value})
        except Exception:  # an index that forward refuses
            return False
        return True

    info = torch.iinfo(probe.values[name].dtype)
    low, high = int(probe.values[name].max()), min(_MOST_IDS, info.max)
    if low >= high or takes(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if takes(middle) else (low, middle)
    return low


def _takes_negative(original: Original, probe: Probe, name: str) -> bool:
    """Whether forward takes -1 in an integer input that had none; ONNX counts it from the end."""
    value = probe.values[name]
    if value.dtype == torch.uint8 or value.dim() == 0 or int(value.min()) < 0:
        return True
    try:
        original.run({**probe.values, name: value.clamp(max=-1)})
    except Exception:  # an index that forward refuses
        return False
    return True


def check_stated(stated: Mapping[str, Axes], layout: Layout, spec: ModelSpec) -> None:
    """Axes that the caller stated must be those that were measured; raises InvalidRequest."""
    measured = {each.name: each.axes for each in (*spec.inputs, *spec.outputs, *spec.states)}
    for name, axes in stated.items():
        if name in layout.sampler.axes:
            continue
        if name not in measured:
            known = ", ".join(measured)
            raise InvalidRequest(f"axes: there is no {name!r}; known are {known}")
        if measured[name] != tuple(axes):
            raise InvalidRequest(
                f"axes: {name} was measured to be {measured[name]}, not {tuple(axes)}"
            )


def _dtype(name: str, tensor: torch.Tensor) -> Dtype:
    return _named_dtype(name, tensor.dtype)


def _named_dtype(name: str, dtype: torch.dtype) -> Dtype:
    text = str(dtype).removeprefix("torch.")
    for known in get_args(Dtype):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise ExportRefused(f"{name} is {text}, which is not served", f"use one of {get_args(Dtype)}")
