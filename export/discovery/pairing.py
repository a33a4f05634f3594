"""Which output is the new value of a state that reaches no recurrent layer.

No run can tell: any output of the state's shape could be fed back. What forward calls its outputs
decides (a key or field named as the state is); without names the convention does: outputs first,
then the states in the order of the arguments. The convention must not contradict what is seen: an
output computed from another of these is hardly the state that the other is made of.
"""

import re
from collections.abc import Mapping, Sequence

import torch

from carousel.export.errors import ExportRefused
from carousel.export.module.original import Original, Values
from carousel.export.module.tree import flatten, labels

_AFFIX = re.compile(r"^(new|next|prev|last)_|_?(new|next|prev|last|out|in|0|1|n|t)$")


def pair_by_name(leaf: str, alike: Sequence[str], short: Mapping[str, str]) -> str | None:
    """The one output whose name is that of the state, `new_` and `_out` and the like left off: of
    one inside of others the whole name, or its own.
    """
    parts = leaf.split(".")
    for name in ("_".join(parts), parts[-1]):
        wanted = plain(name)
        named = [each for each in alike if each in short and plain(short[each]) == wanted]
        if len(named) == 1 and wanted:
            return named[0]
    # One inside of others, as that which comes back inside of others.
    inside = [each for each in alike if len(parts) > 1 and each.split(".")[-1] == parts[-1]]
    return inside[0] if len(inside) == 1 and not parts[-1].isdigit() else None


def pair_by_place(
    original: Original,
    values: Values,
    leaf: str,
    alike: Sequence[str],
    waiting: int,
    beside: int = 0,
) -> str | None:
    """The first of the last `waiting` outputs, as many as states of this shape want one.

    Raises ExportRefused where what is computed from what speaks against it, and where `beside`
    further inputs of this shape may be what the others belong to.
    """
    chosen = alike[-waiting:]
    if not chosen:
        return None
    likely = alike[-min(waiting + beside, len(alike))]
    if likely not in (chosen[0], "output.0"):
        raise _undecided(leaf, alike, likely)
    if len(alike) > waiting:
        ancestors = _ancestors(original, values, alike)
        if sorted(alike, key=lambda name: ancestors[name])[:waiting] != list(chosen) and max(
            ancestors[name] for name in chosen
        ) > min(ancestors[name] for name in alike if name not in chosen):
            raise _undecided(leaf, alike, likely)
    return chosen[0]


def _undecided(leaf: str, alike: Sequence[str], likely: str) -> ExportRefused:
    place = likely.removeprefix("output.")
    return ExportRefused(
        f"any of {', '.join(alike)} could be the new value of the state {leaf!r}",
        f"say which, states={{{leaf!r}: {place!r}}} (--state {leaf}={place}) if it is {likely}, "
        "and likewise of every other state; or return a dict or a NamedTuple with the new state "
        f"under the argument's name, such as {{'y': y, {leaf!r}: new_state}}",
    )


def short_names(tree: object) -> dict[str, str]:
    """What `forward` calls its outputs, by their full names."""
    return labels(tree, "output")


def _ancestors(original: Original, values: Values, names: Sequence[str]) -> dict[str, int]:
    """From how many of the other outputs each was computed; zeros where gradients cannot say."""
    floats = {
        name: each.detach().requires_grad_() if each.is_floating_point() else each
        for name, each in values.items()
    }
    try:
        with torch.enable_grad():
            outputs = flatten(original.run(floats).tree, "output")
            return {
                name: sum(
                    _reaches(outputs[name], outputs[other]) for other in names if other != name
                )
                for name in names
            }
    except RuntimeError:  # an output without a gradient, or written in place
        return dict.fromkeys(names, 0)


def _reaches(output: torch.Tensor, other: torch.Tensor) -> bool:
    (found,) = torch.autograd.grad(output.sum(), other, retain_graph=True, allow_unused=True)
    return found is not None


def plain(name: str) -> str:
    """A name without `new_`, `_out` and the like."""
    before = None
    while before != name:
        before, name = name, _AFFIX.sub("", name.lower())
    return name
