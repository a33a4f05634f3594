"""States that the caller says never change: given once a sequence, and no output of the module."""

from collections.abc import Collection

from carousel.export.discovery.carried import Carried
from carousel.export.errors import ExportRefused, InvalidRequest
from carousel.export.module.original import Original
from carousel.export.module.tree import flatten


def find_fixed(
    original: Original, fixed: Collection[str], states: Collection[str] | None
) -> tuple[Carried, ...]:
    """Every tensor of the parameters `fixed`, in the order of forward; `states` are the others.

    Nothing has to be shown of them but that forward leaves them alone: a state that no output of
    the program replaces cannot change. Raises InvalidRequest where the example has no such tensor,
    ExportRefused where forward writes into one.
    """
    _check(original, fixed, states)
    values = original.signature.tensors()
    leaves = [leaf for name in fixed for leaf in original.signature.leaves(name)]
    for leaf in leaves:
        if not values[leaf].dim():
            raise InvalidRequest(
                f"fixed: {leaf!r} is one number for all rows; give a tensor with one for each row"
            )
    for leaf in set(leaves) & set(original.run(values).written):
        raise ExportRefused(
            f"forward writes into {leaf!r}, which is to be a state that never changes",
            "work on a copy of it, or return its new value and name it in `states`",
        )
    return tuple(Carried(leaf, None, None, 0, fixed=True) for leaf in values if leaf in leaves)


def _check(original: Original, fixed: Collection[str], states: Collection[str] | None) -> None:
    for name in fixed:
        if name not in original.signature.parameters.parameters:
            raise InvalidRequest(f"fixed: forward has no parameter {name!r}")
        if name in (states or ()):
            raise InvalidRequest(f"fixed: {name!r} is named by states already")
        if not flatten(original.signature.trees.get(name), name):
            raise InvalidRequest(f"fixed: the example gives no tensor for {name!r}")
