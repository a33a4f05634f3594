"""Which plans candidates make, and where each of them starts."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import torch

from carousel.export.lifting.candidates import Options
from carousel.export.lifting.plan import After, Pair, Plan, Start
from carousel.export.lifting.recording import Recording
from carousel.export.lifting.scans import Scan

_FEW = 4  # starts of which each may begin by the inputs or not


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


def splits(found: Options) -> Iterator[tuple[Options, Options]]:
    """What starts at zeros, and what begins by the inputs: all one or all the other, then some."""
    sizes = (0, len(found), *range(1, len(found))) if len(found) <= _FEW else (0, len(found))
    for size in dict.fromkeys(sizes):
        for some in itertools.combinations(found, size):
            moving = {start: found[start] for start in some}
            yield {start: found[start] for start in found if start not in moving}, moving


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


def assignments(
    options: Mapping[Start, Sequence[After]],
) -> Iterator[list[tuple[Start, After]]]:
    """Every way to give each start a new value of its own, in the order of the recording."""

    def assign(
        left: list[Start], chosen: list[tuple[Start, After]]
    ) -> Iterator[list[tuple[Start, After]]]:
        if not left:
            yield chosen
            return
        taken = {after for _, after in chosen}
        for after in options[left[0]]:
            # Else dead ends are walked into by the million.
            if after not in taken and _enough(options, left[1:], {*taken, after}):
                yield from assign(left[1:], [*chosen, (left[0], after)])

    return assign(list(options), [])


def _enough(
    options: Mapping[Start, Sequence[After]], left: Sequence[Start], taken: Collection[After]
) -> bool:
    """Whether each start that is left can have one of its own (Kuhn's algorithm)."""
    given: dict[After, Start] = {}

    def give(start: Start, seen: set[After]) -> bool:
        for after in options[start]:
            if after not in taken and after not in seen:
                seen.add(after)
                if after not in given or give(given[after], seen):
                    given[after] = start
                    return True
        return False

    return all(give(start, set()) for start in left)
