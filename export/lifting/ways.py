"""Which plans candidates make, and where each of them starts."""

from collections.abc import Iterator

import torch

from carousel.export.lifting.candidates import Options, assignments
from carousel.export.lifting.plan import Pair, Plan
from carousel.export.lifting.recording import Recording
from carousel.export.lifting.scans import Scan


def plans_of(
    certain: Options,
    likely: Options,
    moving: Options,
    scans: tuple[Scan, ...],
    copies: int,
) -> Iterator[Plan]:
    """All operators along time made stateful before none, pairs by their sites before others, and
    those that begin by the inputs last.
    """
    more = {
        start: list(dict.fromkeys([*certain.get(start, []), *likely.get(start, [])]))
        for start in {**certain, **likely}
    }
    wide = {**likely, **certain}
    choices: list[Options] = []
    for each in (certain, wide, more, Options()):
        if each not in choices:
            choices.append(each)
    for those in [scans, ()] if scans else [()]:
        for options in choices:
            for pairs in assignments(options):
                if pairs or those:
                    yield Plan(tuple(Pair(*each) for each in pairs), those, copies)
    for those in [scans, ()] if scans and moving else [scans] if moving else []:
        for pairs in assignments({**certain, **moving}):
            yield Plan(tuple(Pair(*each, each[0] in moving) for each in pairs), those, copies)


def start_of(plan: Plan, one: Recording, batch: int) -> tuple[torch.Tensor, ...] | None:
    """The states before the first step, from a run of one; None where it has no such values."""
    found: list[torch.Tensor] = []
    shapes: list[torch.Tensor] = []
    for pair in plan.pairs:
        source = plan.source(pair)
        first, after = (
            one.values.get(pair.start.key),
            None if source is None else one.values.get(source),
        )
        if first is None or after is None:
            return None
        shapes.append(after)
        if plan.copies > 1 or pair.begins:
            found.append(torch.zeros_like(after))
        else:
            found.append(first.detach().expand(after.shape).clone())
    found += [
        torch.zeros_like(like, dtype=torch.bool)
        for pair, like in zip(plan.pairs, shapes, strict=True)
        if pair.begins
    ]
    calls = {(call.site, call.occurrence): call for call in one.calls}
    for scan in plan.scans:
        if scan.at not in calls:
            return None
        found += scan.start(calls[scan.at], batch)
    return tuple(found)
