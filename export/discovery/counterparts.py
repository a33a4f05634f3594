"""Inputs that may be states though nothing calls them so: an output has their shape.

With a time axis a run tells: as states they give in chunks what the whole gives, or they don't.
Without one no run can: fed back or sent anew, a frame is a frame. Then the caller is asked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, permutations

import torch
from torch import nn

from carousel.export.discovery.carried import Carried, shaken
from carousel.export.discovery.layout import Layout
from carousel.export.discovery.naming import is_cell
from carousel.export.discovery.pairing import pair_by_name, short_names
from carousel.export.discovery.returned import output_names
from carousel.export.discovery.state import States
from carousel.export.errors import ExportRefused, ForwardFailed
from carousel.export.measured.sampling import noise_like
from carousel.export.module.original import Original, Values
from carousel.models.spec import TIME

# What is sent with every frame, whatever comes back in its shape.
_SENT = re.compile(
    r"\w*(masks?|starts?|actions?|rewards?|lengths?|lens?|ids?)|dones?|resets?|tgt|targets?|labels?"
)
# What is kept, and so asked for first.
_KEPT = re.compile(r"(\w*_)?(prev|previous|past|last|old|before)(_\w*)?")

_MOST_ORDERS = 6


@dataclass(frozen=True, slots=True)
class Reading:
    """Another way to say what the states are; `plainer`: it has fewer than the first."""

    states: dict[str, str | None]
    plainer: bool = False


def readings(
    layout: Layout, carried: Sequence[Carried], maybe: Mapping[str, str]
) -> Iterator[Reading]:
    """Those with what may be states too, those that pair what is alike in another order, and those
    without what only a name shows.
    """
    own = [each for each in carried if not each.fixed]
    said = {_parameter(each.leaf): None for each in own}
    if maybe:
        yield from (
            Reading({**said, **each}) for each in islice(_orders(layout, maybe), _MOST_ORDERS)
        )
    doubtful = [each for each in own if each.doubtful]
    plain = [] if short_names(layout.probes[0].seen.tree) else doubtful
    orders = (
        order
        for order in permutations([each.output for each in plain])
        if all(_fits(layout, each.leaf, output) for each, output in zip(plain, order, strict=True))
    )
    for order in islice(orders, 1, _MOST_ORDERS):
        yield Reading({**said, **_paired(plain, order)})
    if doubtful:
        sure = {_parameter(each.leaf): None for each in own if not each.doubtful}
        yield Reading(dict(sure), plainer=True)


def _orders(layout: Layout, maybe: Mapping[str, str]) -> Iterator[dict[str, str | None]]:
    """What each may come back as: in the order in which they are returned, then in others."""
    if any("." in leaf for leaf in maybe):
        yield {_parameter(leaf): None for leaf in maybe}
        return
    for order in permutations(maybe.values()):
        if all(_fits(layout, leaf, each) for leaf, each in zip(maybe, order, strict=True)):
            yield dict(zip(maybe, order, strict=True))


def _fits(layout: Layout, leaf: str, output: str | None) -> bool:
    """Whether an output has the shape of a state that has a parameter of its own."""
    first = layout.probes[0]
    return (
        "." not in leaf
        and output is not None
        and leaf in first.values
        and first.seen.outputs[output].shape == first.values[leaf].shape
    )


def _paired(states: Sequence[Carried], order: Sequence[str | None]) -> dict[str, str | None]:
    return {each.leaf: output for each, output in zip(states, order, strict=True)}


def _parameter(leaf: str) -> str:
    return leaf.split(".", 1)[0]


def question_of_order(
    module: nn.Module,
    layout: Layout,
    carried: Sequence[Carried],
    declared: Mapping[str, str | None] | None,
) -> ExportRefused | None:
    """What to ask where frames take `c` before `h` and give back two alike: in which order?"""
    doubtful = [each for each in carried if each.doubtful]
    called = output_names(module, layout.probes[0].seen.tree)
    named = declared is not None or all(
        pair_by_name(each.leaf, list(called), called) == each.output for each in doubtful
    )
    if named or len(doubtful) != 2 or not is_cell(doubtful[0].leaf) or is_cell(doubtful[1].leaf):
        return None
    names = [each.leaf for each in doubtful]
    outputs = [str(each.output).removeprefix("output.") for each in doubtful]
    return ExportRefused(
        f"forward takes {names[0]!r} before {names[1]!r}, and in which order it returns them no "
        "run can tell without a time axis",
        f"say states={{{names[0]!r}: {outputs[1]!r}, {names[1]!r}: {outputs[0]!r}}} (--state "
        f"{names[0]}={outputs[1]} --state {names[1]}={outputs[0]}), or the other way round",
    )


def find_counterparts(
    original: Original,
    layout: Layout,
    carried: Sequence[Carried],
    declared: Mapping[str, str | None] | None,
) -> dict[str, str]:
    """Tensors of further parameters, each with an output of its axes that is no other's.

    The first output is the answer. Nothing where the caller has said which are states.
    """
    if declared is not None:
        return {}
    values = shaken(original)
    seen = original.run(values).outputs
    first = original.signature.leaves(next(iter(original.signature.trees)))
    taken = {each.output for each in carried} | ({next(iter(seen))} if len(seen) > 1 else set())
    timed = any(TIME in layout.sampler.axes.get(leaf, ()) for leaf in first)
    known = {*first, *(each.leaf for each in carried)}
    found: dict[str, str] = {}
    for leaf, value in sorted(values.items(), key=lambda each: not _is_kept(each[0])):
        if not value.dim() and leaf not in known:
            _refuse_counter(leaf, value, seen)
        axes = layout.sampler.axes.get(leaf, ())
        called = _parameter(leaf)
        if leaf in known or not axes or (timed and TIME in axes) or _SENT.fullmatch(called):
            continue
        if len(seen) == 1 and value.shape == values[first[0]].shape and not _is_kept(leaf):
            continue  # two inputs alike, of which one output is made
        for name, each in layout.outputs.items():
            alike = each.axes == axes and seen[name].dtype == value.dtype
            if name not in taken and alike and _matters(original, values, leaf, name):
                found[leaf] = name
                taken.add(name)
                break
    return found


def _matters(original: Original, values: Values, leaf: str, output: str) -> bool:
    """Whether a tensor changes more than the output that it would come back as."""
    generator = torch.Generator().manual_seed(4)
    value = values[leaf]
    other = value.roll(1, 0) + 1 if not value.is_floating_point() else noise_like(value, generator)
    try:
        seen, changed = (
            original.run(each).outputs for each in (values, {**values, leaf: other.to(value.dtype)})
        )
    except ForwardFailed:  # whatever forward says to other values: it reads them
        return True
    others = [name for name in seen if name != output] or [output]
    return any(not torch.equal(seen[name], changed[name]) for name in others if name in changed)


def _is_kept(leaf: str) -> bool:
    return _KEPT.fullmatch(_parameter(leaf)) is not None


def _refuse_counter(leaf: str, value: torch.Tensor, seen: Mapping[str, torch.Tensor]) -> None:
    """A number that comes back as another is counted by somebody: as a setting it would not be."""
    for name, each in seen.items():
        if not each.dim() and each.dtype == value.dtype and not torch.equal(each, value):
            raise ExportRefused(
                f"forward returns the number {leaf!r} as {name!r}, changed; a program keeps it "
                "as it is in the example",
                f"take {leaf!r} as a tensor with one number for each row, and return its new value",
            )


def _is_like(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype


def _which(rivals: Sequence[str], output: str, sent: Sequence[str]) -> ExportRefused:
    """The question which of several inputs of one shape comes back; those called so first."""
    ordered = sorted(rivals, key=lambda leaf: not _is_kept(leaf))
    place = output.removeprefix("output.")
    ways = [
        f"states={ ({**dict.fromkeys(sent), _parameter(leaf): place})!r}" for leaf in ordered[:3]
    ]
    flags = " ".join([*(f"--state {each}" for each in sent), f"--state {ordered[0]}={place}"])
    without = " ".join(f"--state {each}" for each in sent) or "--no-states"
    return ExportRefused(
        f"{', '.join(map(repr, ordered))} have the shape of {output!r}, and without a time axis no "
        "run can tell which of them it comes back as",
        f"say which: {' or '.join(ways)} ({flags}), or states={tuple(sent)!r} ({without}) if each "
        "is sent with every frame",
    )


def question(original: Original, states: States, maybe: Mapping[str, str]) -> ExportRefused | None:
    """What to ask where frames have such an input, unless it is one of several alike.

    Two inputs of one shape that come back as two outputs are two inputs, where nothing else in the
    module is recurrent.
    """
    values = original.signature.tensors()
    first = original.signature.leaves(next(iter(original.signature.trees)))
    shapes = {values[leaf].shape for leaf in first}
    recurrent = bool(states.variables or states.windows or states.alone)
    optional = original.signature.optional()
    asked = [
        leaf
        for leaf in maybe
        if recurrent or values[leaf].shape not in shapes or _parameter(leaf) in optional
    ]
    if not asked:
        return None
    kept = [each.argument for each in states.variables if each.argument is not None]
    sent = list(dict.fromkeys(each.split(".", 1)[0] for each in kept))
    rivals = [
        leaf
        for leaf, value in values.items()
        if len(asked) == 1 and leaf not in (*first, *kept) and _is_like(value, values[asked[0]])
    ]
    if len(rivals) > 1:
        return _which(rivals, maybe[asked[0]], sent)
    names = list(dict.fromkeys(_parameter(leaf) for leaf in asked))
    every = [*sent, *(each for each in names if each not in sent)]
    places = {_parameter(leaf): maybe[leaf].removeprefix("output.") for leaf in asked}
    several = len(asked) > 1 and not any("." in leaf for leaf in asked)
    told = {each: places.get(each) for each in every} if several else tuple(every)
    flags = " ".join(
        f"--state {each}={places[each]}" if several and each in places else f"--state {each}"
        for each in every
    )
    without = " ".join(f"--state {each}" for each in sent) or "--no-states"
    return ExportRefused(
        f"{', '.join(map(repr, asked))} may be a state: forward returns its shape as "
        f"{', '.join(repr(maybe[leaf]) for leaf in asked)}, and without a time axis no run can "
        "tell",
        f"say states={told!r} ({flags}) if it is carried from frame to frame, or "
        f"states={tuple(sent)!r} ({without}) if it is sent with every frame",
    )
