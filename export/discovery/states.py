"""The states of a module: those it carries as arguments, and those hidden in recurrent layers.

A hidden state is lifted only where the layer's own initial state is zero, or the same at every
run (learned). One that is computed from the input, or whose shape varies with T, is left alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from carousel.export.discovery.carried import Carried, shaken
from carousel.export.discovery.layout import Layout
from carousel.export.discovery.probes import Probe, fit_probes
from carousel.export.discovery.state import States, StateVar, idle
from carousel.export.discovery.windows import find_windows
from carousel.export.errors import ExportRefused
from carousel.export.measured.sampling import Axes
from carousel.export.measured.tolerance import difference
from carousel.export.module.layers import LayerCall, is_lstm
from carousel.export.module.original import Original
from carousel.models.spec import BATCH, TIME


class LayerRefused(ExportRefused):
    """A layer that runs otherwise than once, or once a time step: it has no one state."""


@dataclass(frozen=True, slots=True)
class _Fate:
    """What becomes of one part of a layer's state: `lift`, `alone` or `computed`."""

    kind: str
    axes: Axes = ()
    fold: int = 1
    initial: torch.Tensor | None = None


def find_states(
    original: Original, layout: Layout, carried: Sequence[Carried], *, whole: bool = False
) -> States:
    """Sort every recurrent layer that ran; raises ExportRefused where one cannot be served, and
    LayerRefused where its state cannot be carried. With `whole` such a one starts anew in every
    run.
    """
    calls = {path: _calls(layout.probes, path) for path in layout.probes[0].seen.calls.layers}
    _refuse_bypassed(layout.probes)
    layers = dict(original.module.named_modules())
    fed = {(each.layer, each.part) for each in carried if each.layer is not None}
    windows = {} if layout.time else dict(find_windows(layers, calls, {path for path, _ in fed}))
    several = {path for path, each in calls.items() if whole and _is_fixed(each)}
    looped = tuple(
        path
        for path, each in calls.items()
        if path not in {*windows, *several} and _is_looped(path, each, layout.probes)
    )
    fed |= _driven(original, calls)
    variables: list[StateVar] = []
    alone: list[str] = []
    computed: list[str] = []
    for path, each in calls.items():
        for part in range(2 if is_lstm(layers[path]) else 1):
            if (path, part) in fed:
                continue
            fate = _fate([call[0] for call in each], part, layout.probes)
            inner = path in {*windows, *several} or _is_inner(each)
            if fate.kind == "lift" and not inner:
                variables.append(_lifted(path, part, each[0][0], fate))
            elif fate.kind == "computed":
                computed.append(path)
            elif fate.initial is None:
                alone.append(path)
    explicit = [_explicit(original, layout, each, calls) for each in carried]
    kept = [each for each in (*explicit, *variables) if each is not None]
    return States(
        _named(kept, layout, single=len(calls) == 1),
        tuple(dict.fromkeys(alone)),
        tuple(dict.fromkeys(computed)),
        looped,
        tuple(windows.values()),
        tuple(several),
    )


def _driven(original: Original, calls: dict[str, list[list[LayerCall]]]) -> set[tuple[str, int]]:
    """Layers and parts that start elsewhere when forward's optional states are given."""
    if not original.omit:
        return set()
    values = shaken(original)
    given, own = original.run(values, ()).calls.layers, original.run(values).calls.layers
    return {
        (path, part)
        for path in calls
        for part, first in enumerate(own[path][0].first)
        if difference(first, given[path][0].first[part]).error != 0
    }


def _calls(probes: tuple[Probe, ...], path: str) -> list[list[LayerCall]]:
    if not all(path in probe.seen.calls.layers for probe in probes):
        raise idle(path)
    return [probe.seen.calls.layers[path] for probe in probes]


def _refuse_bypassed(probes: tuple[Probe, ...]) -> None:
    bypassed = sorted({path for probe in probes for path in probe.seen.calls.bypassed})
    if bypassed:
        raise ExportRefused(
            f"the layer {bypassed[0]!r} is run by calling its .forward, around the hooks that "
            "carry its state",
            f"call the layer itself: self.{bypassed[0]}(...)",
        )


def _is_looped(path: str, calls: list[list[LayerCall]], probes: tuple[Probe, ...]) -> bool:
    """Whether forward steps the layer once per time step; refuses several calls of many steps."""
    counts = [len(each) for each in calls]
    times = [probe.time for probe in probes]
    if counts == times and len(set(times)) > 1:
        return True
    if set(counts) == {1} or _is_inner(calls):
        return False
    where = ", whatever the length"
    if len(set(counts)) > 1:
        other = next(index for index, count in enumerate(counts) if count != counts[0])
        where = f" at T={times[0]}, and {counts[other]} times at T={times[other]}"
    raise LayerRefused(
        f"the layer {path!r} is called {counts[0]} times in one run{where}",
        "call it once, or once per time step; use one layer object for each call; or fix the "
        "length with `axes`",
    )


def _is_inner(calls: list[list[LayerCall]]) -> bool:
    """Whether the layer is stepped a fixed number of times: a decoder, which starts anew in every
    run.
    """
    return _is_fixed(calls) and all((call.steps or 1) == 1 for each in calls for call in each)


def _is_fixed(calls: list[list[LayerCall]]) -> bool:
    """Whether the layer is called several times, and as often at every size."""
    return len({len(each) for each in calls}) == 1 and len(calls[0]) > 1


def _fate(calls: list[LayerCall], part: int, probes: tuple[Probe, ...]) -> _Fate:
    firsts = [call.first[part] for call in calls]
    zero = all(not bool(first.any()) for first in firsts)
    fitted = fit_probes([tuple(first.shape) for first in firsts], probes)
    batched = any(probe.batch for probe in probes)
    if fitted is None or TIME in fitted.axes or (batched and BATCH not in fitted.axes):
        return _Fate("alone" if zero else "computed")
    axes, fold = fitted.axes, fitted.fold
    if zero:
        return _Fate("lift", axes, fold)
    initial = session_value(firsts, axes, fold)
    return _Fate("computed") if initial is None else _Fate("lift", axes, fold, initial)


def session_value(firsts: list[torch.Tensor], axes: Axes, fold: int) -> torch.Tensor | None:
    """The one session's value that every row of every run starts from; None if there is none."""
    if BATCH not in axes:
        return firsts[0] if all(torch.equal(firsts[0], each) for each in firsts) else None
    place = axes.index(BATCH)
    value = firsts[0].narrow(place, 0, fold)
    for first in firsts:
        sessions = torch.split(first, fold, dim=place)
        if not all(torch.equal(value, each) for each in sessions):
            return None
    return value if fold > 1 else value.squeeze(place)


def _lifted(path: str, part: int, call: LayerCall, fate: _Fate) -> StateVar:
    return StateVar(
        name=f"{path}.{'hc'[part]}",
        argument=None,
        output=None,
        layer=path,
        part=part,
        axes=fate.axes,
        fold=fate.fold,
        dtype=call.first[part].dtype,
        initial=fate.initial,
    )


def _explicit(
    original: Original, layout: Layout, carried: Carried, calls: dict[str, list[list[LayerCall]]]
) -> StateVar | None:
    """An argument as a state; None where forward, left to itself, computes it from the input."""
    parameter = carried.leaf.split(".", 1)[0]
    fold = layout.folds.get(carried.leaf, layout.sampler.folds.get(carried.leaf, 1))
    fate = _Fate("lift", layout.states.get(carried.leaf, ()), fold)
    if parameter in original.omit and carried.layer is not None:
        fate = _fate([each[0] for each in calls[carried.layer]], carried.part, layout.probes)
    elif parameter in original.omit:
        _refuse_hidden_start(original, parameter)
    if fate.kind != "lift":
        return None
    both = carried.layer is not None and carried.output is not None
    return StateVar(
        name=f"{carried.layer}.{'hc'[carried.part]}" if both else carried.leaf,
        argument=carried.leaf,
        output=carried.output,
        layer=carried.layer,
        part=carried.part,
        axes=fate.axes,
        fold=fate.fold,
        dtype=original.signature.tensors()[carried.leaf].dtype,
        initial=fate.initial,
        fixed=carried.fixed,
    )


def _refuse_hidden_start(original: Original, parameter: str) -> None:
    """A state that may be left out must then start at zeros: nothing else could be known."""
    values = original.signature.tensors()
    leaves = original.signature.leaves(parameter)
    zeros = {**values, **{leaf: torch.zeros_like(values[leaf]) for leaf in leaves}}
    own, given = (
        original.run(values).outputs,
        original.run(zeros, original.omit - {parameter}).outputs,
    )
    if not all(difference(own[name], given[name]).passes for name in own):
        raise ExportRefused(
            f"forward starts elsewhere than at zeros when {parameter!r} is left out",
            f"give {parameter!r} no default, or let a recurrent layer take it unchanged",
        )


def _named(states: list[StateVar], layout: Layout, single: bool) -> tuple[StateVar, ...]:
    """`h` and `c` for one recurrent layer, `<path>.h` for several, forward's own name otherwise."""
    taken = set(layout.sampler.axes) - {each.argument for each in states}
    named: list[StateVar] = []
    for state in states:
        name = state.name
        if state.layer is not None and single and "hc"[state.part] not in taken:
            name = "hc"[state.part]
        elif state.layer is not None and state.argument is not None and "." not in state.argument:
            name = state.argument
        name = name.lstrip(".")
        while name in taken:
            name += "_state"
        taken.add(name)
        named.append(replace(state, name=name))
    return tuple(named)
