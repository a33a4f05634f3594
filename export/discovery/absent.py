"""States that forward takes and the example leaves out: what they are is tried, and kept if it is
one.
"""

from collections.abc import Collection, Mapping

import torch

from carousel.export.discovery.naming import is_named_so
from carousel.export.discovery.pairing import short_names
from carousel.export.discovery.places import equal
from carousel.export.module.original import Observation, Original
from carousel.export.module.tree import Tree, copied, flatten


def complete(
    original: Original, seen: Observation, declared: Mapping[str, str | None] | None
) -> None:
    """Find values for optional states that the example leaves out: what `forward` returns."""
    absent = [
        name
        for name in original.signature.absent()
        if (name in declared if declared is not None else True)
    ]
    elements = list(seen.tree[1:]) if isinstance(seen.tree, tuple) else []
    elements = [each for each in elements if flatten(each, "state")]
    short = {label: name for name, label in short_names(seen.tree).items()}
    named = [
        {name: seen.outputs[short[name]]} for name in absent if short.get(name) in seen.outputs
    ]
    trials: list[dict[str, Tree]] = named
    if 0 < len(absent) <= len(elements):
        trials.append(dict(zip(absent, elements[-len(absent) :], strict=True)))
    trials += [{name: element} for name in absent for element in reversed(elements)]
    for trial in trials:
        if _try(original, seen, trial, declared or ()):
            return


def _try(
    original: Original, seen: Observation, trial: dict[str, Tree], declared: Collection[str]
) -> bool:
    """Run with `trial` as further arguments; keep them if they take effect as a state."""
    before = original.signature
    # Detached copies: what was returned must not share memory with what is given.
    original.signature = before.having({name: copied(tree) for name, tree in trial.items()})
    values = original.signature.tensors()
    try:
        after = original.run(values)
    except Exception:  # whatever the user's code says to a state that it does not take
        original.signature = before
        return False
    leaves = [leaf for name in trial for leaf in original.signature.leaves(name)]
    fed = all(fed_to(after, values[leaf]) is not None for leaf in leaves)
    named = all(is_named_so(name) or name in declared for name in trial)
    shapes = {name: each.shape for name, each in after.outputs.items()}
    same = shapes == {name: each.shape for name, each in seen.outputs.items()}
    effect = same and any(
        not equal(each, after.outputs[name]) for name, each in seen.outputs.items()
    )
    if same and (fed or named or effect):
        return True
    original.signature = before
    return False


def fed_to(seen: Observation, value: torch.Tensor) -> tuple[str, int] | None:
    """The layer and part whose first initial state is `value`."""
    for path, calls in seen.calls.layers.items():
        for part, initial in enumerate(calls[0].initial or ()):
            if equal(initial, value):
                return path, part
    return None
