"""States that come back as they were given, told by their places: held ones, and a delay line.

`return y, h2, n` of `forward(x, h1, h2)` says by its places that the next `h1` is what `h2` was. A
run shows it: what comes back in the place of one is what was given for another.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import torch

from carousel.export.discovery.pairing import plain
from carousel.export.errors import ForwardFailed
from carousel.export.measured.otherwise import Otherwise
from carousel.export.module.original import Original, Values

_TRIES = 60  # of a frame, which has few comparisons: none of them may come out otherwise


def held_on(
    original: Original, values: Values, outputs: Values, names: Mapping[str, str]
) -> dict[str, str]:
    """For each state that comes back as it was, but for an event that the example has not, the
    output that it comes back as; what comes back as it was whatever happens is no state.
    """
    ends = dict(zip(reversed(list(values)), reversed(list(outputs)), strict=False))
    back = {
        leaf: name
        for leaf in values
        for name in outputs
        if equal(values[leaf], outputs[name])
        and (ends.get(leaf) == name or plain(names.get(name, "")) == plain(leaf) != "")
        and _comes_back(original, values, leaf, name)
    }
    found: dict[str, str] = {}
    for way in range(_TRIES):
        if found.keys() == back.keys():
            break
        with suppress(ForwardFailed), Otherwise(way, gates=True):
            other = original.run(values).outputs
            found |= {
                leaf: name
                for leaf, name in back.items()
                if name in other and not equal(values[leaf], other[name])
            }
    return found


def _comes_back(original: Original, values: Values, leaf: str, name: str) -> bool:
    """Whether another value comes back as well: few integers are equal by chance, no floats are."""
    value = values[leaf]
    if value.is_floating_point() or value.is_complex():
        return True
    other = ~value if value.dtype == torch.bool else value + 1
    with suppress(ForwardFailed):
        found = original.run({**values, leaf: other}).outputs
        return name in found and equal(other, found[name])
    return False


def handed_on(
    values: Values, outputs: Values, firsts: Sequence[str], names: Mapping[str, str]
) -> dict[str, str]:
    """For each state of such a line the output in its place, outputs first and then the states in
    their order; nothing where there is none, or where forward's own names for them say otherwise.

    `firsts` are the inputs that are no states.
    """
    leaves, returned = [each for each in values if each not in firsts], list(outputs)
    found: dict[str, str] = {}
    for count in range(2, min(len(leaves) + 1, len(returned))):
        placed = dict(zip(leaves[-count:], returned[-count:], strict=True))
        if not all(_alike(values[leaf], outputs[name]) for leaf, name in placed.items()):
            break
        lines = {
            leaf: other
            for leaf, name in placed.items()
            for other in values
            if other != leaf and equal(values[other], outputs[name])
        }
        left = [outputs[name] for name in returned[1:] if name not in placed.values()]
        handed = {leaf for leaf in values for each in left if equal(values[leaf], each)}
        if lines and not handed.intersection(leaves) and not _denied(placed, lines, names):
            # Such a line may begin with what comes in, which others only give back.
            found = found if found and handed else placed
    return found


def equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether they are equal in all that they are."""
    return _alike(left, right) and torch.equal(left, right)


def _denied(placed: Mapping[str, str], lines: Mapping[str, str], names: Mapping[str, str]) -> bool:
    """Whether a new value has the name of another state than the one in whose place it stands."""
    known = {plain(leaf): leaf for leaf in placed if plain(leaf)}
    fresh = [leaf for leaf in placed if leaf not in lines]
    called = ((leaf, known.get(plain(names.get(placed[leaf], "")))) for leaf in fresh)
    return any(other is not None and other != leaf for leaf, other in called)


def _alike(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.shape == right.shape and left.dtype == right.dtype
