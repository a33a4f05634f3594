"""What a module is: its axes, its states, and what else the states may be."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch

from carousel.export.discovery.carried import Carried, find_carried
from carousel.export.discovery.counterparts import (
    Reading,
    find_counterparts,
    question,
    question_of_order,
    readings,
)
from carousel.export.discovery.discover import Discovery
from carousel.export.discovery.fixed import find_fixed
from carousel.export.discovery.layout import Layout
from carousel.export.discovery.spans import find_spans
from carousel.export.discovery.state import States
from carousel.export.discovery.states import find_states
from carousel.export.errors import ExportRefused, ForwardFailed, InvalidRequest
from carousel.export.module.determinism import observe_twice, refuse_rewritten
from carousel.export.module.judge import judge_decisions
from carousel.export.module.original import Observation, Original
from carousel.export.options import Options
from carousel.models.spec import TIME

_DRAWS = 3


@dataclass(frozen=True, slots=True)
class Found:
    """Axes and states. `others` are other readings of what the states are, the likeliest first;
    `ask` asks for them where no run seems to tell.
    """

    layout: Layout
    states: States
    others: tuple[Reading, ...]
    ask: ExportRefused | None


def find(original: Original, options: Options, *, whole: bool = False) -> Found:
    """Which axes vary, what the states are, and what else they may be.

    With `whole` the state of a layer that is called several times is none.
    """
    seen = observe_twice(original)
    refuse_rewritten(original)
    fixed = find_fixed(original, options.fixed, options.states)
    carried = find_carried(original, seen, options.states, fixed)
    _refuse_written(original, seen, carried)
    lengths = _find_lengths(original, seen)
    if any(each.leaf == lengths for each in fixed):
        raise InvalidRequest(f"fixed: {lengths!r} says how long each row is in one call of forward")
    layout = _lay_out(original, carried, lengths, options)
    grown = [each for each in carried if TIME in layout.states.get(each.leaf, ())]
    if grown:
        # Called a state, and as long as time: it is an input.
        carried = tuple(each for each in carried if each not in grown)
        layout = _lay_out(original, carried, lengths, options)
    given = original.signature.tensors().items()
    constants = {name for name, each in given if each.dim() == 0 or name == lengths}
    judge_decisions(original, _accepted(original, layout), constants)
    states = find_states(original, layout, carried, whole=whole)
    maybe = find_counterparts(original, layout, carried, options.states)
    first = original.signature.leaves(next(iter(original.signature.trees)))
    ask = None
    if not any(TIME in layout.sampler.axes.get(leaf, ()) for leaf in first):
        ask = question(original, states, maybe) or question_of_order(
            original.module, layout, carried, options.states
        )
        maybe = maybe if ask is not None else {}
    others = () if options.states is not None else tuple(readings(layout, carried, maybe))
    return Found(layout, states, others, ask)


def _lay_out(
    original: Original, carried: Sequence[Carried], lengths: str | None, options: Options
) -> Layout:
    """The axes, with the states that may be left out left out."""
    optional = set(original.signature.optional())
    changing = {each.leaf.split(".", 1)[0] for each in carried if not each.fixed}
    parameters = changing & optional
    original.omit = frozenset(each for each in parameters if _runs_without(original, each))
    seen = original.run(original.signature.tensors())
    fixed = {each.leaf for each in carried if each.fixed}
    spans = find_spans(original, seen, options.ranges, lengths, fixed)
    return Discovery(original, tuple(carried), lengths, options.axes, seen, spans).discover()


def _refuse_written(original: Original, seen: Observation, carried: Sequence[Carried]) -> None:
    """A tensor beside the first that forward writes into is a state that nothing returns."""
    first = original.signature.leaves(next(iter(original.signature.trees)))
    known = {*first, *(each.leaf for each in carried)}
    for leaf in seen.written:
        if leaf not in known:
            raise ExportRefused(
                f"forward writes into {leaf!r}, and a program's inputs stay what they are",
                f"work on a copy of it, and return its new value, as {leaf!r} in a dict or a "
                "NamedTuple",
            )


def _accepted(original: Original, layout: Layout) -> Iterator[dict[str, torch.Tensor]]:
    """Drawn values that forward takes, and those of the example."""
    for seed in range(3, 3 + _DRAWS):
        drawn = layout.sampler.draw(layout.batch, layout.time, seed)
        with suppress(ForwardFailed):
            original.run(drawn)
            yield drawn
    yield dict(layout.probes[0].values)


def _find_lengths(original: Original, seen: Observation) -> str | None:
    """The input that says how long each row is: what the module packs by."""
    for calls in seen.calls.layers.values():
        for name, value in original.signature.tensors().items():
            lengths = calls[0].lengths
            if lengths is None or value.shape != lengths.shape or value.is_floating_point():
                continue
            if torch.equal(value.long().sort().values, lengths.long().sort().values):
                return name
    return None


def _runs_without(original: Original, parameter: str) -> bool:
    try:
        original.run(original.signature.tensors(), {parameter})
    except Exception:  # whatever the user's code says to None
        return False
    return True
