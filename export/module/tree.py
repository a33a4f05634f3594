"""Nested tuples, lists and dicts of tensors, as `forward` takes and returns them.

Every tensor has a name: the root's for a lone tensor, `root.0`, `root.key` for those inside. What
is not a tensor (None, numbers, strings) is structure and stays as it is.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

Tree = Any  # a tensor, or tuples, lists and mappings of trees, or a constant


def flatten(tree: Tree, name: str) -> dict[str, torch.Tensor]:
    """Every tensor of `tree` by its name, in order."""
    return dict(_walk(tree, name))


def fill(tree: Tree, name: str, values: Mapping[str, torch.Tensor]) -> Tree:
    """`tree` with each tensor replaced by the one of its name in `values`."""
    return _rebuild(tree, name, lambda leaf: values[leaf])


def labels(tree: Tree, name: str) -> dict[str, str]:
    """A short label for each tensor: the key of a dict or the field of a named tuple, if any."""
    if isinstance(tree, Mapping):
        return {f"{name}.{key}": str(key) for key in tree}
    fields = getattr(tree, "_fields", None)
    if isinstance(tree, tuple) and fields:
        return {f"{name}.{index}": str(field) for index, field in enumerate(fields)}
    return {}


def holds_packed(tree: Tree) -> bool:
    """Whether a PackedSequence stands anywhere in `tree`."""
    if isinstance(tree, PackedSequence):
        return True
    items = tree.values() if isinstance(tree, Mapping) else tree
    return isinstance(tree, (Mapping, tuple, list)) and any(map(holds_packed, items))


def _walk(tree: Tree, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(tree, torch.Tensor):
        yield name, tree
    elif isinstance(tree, Mapping):
        for key, item in tree.items():
            yield from _walk(item, f"{name}.{key}")
    elif isinstance(tree, (tuple, list)):
        for index, item in enumerate(tree):
            yield from _walk(item, f"{name}.{index}")


def _rebuild(tree: Tree, name: str, leaf: Callable[[str], torch.Tensor]) -> Tree:
    if isinstance(tree, torch.Tensor):
        return leaf(name)
    if isinstance(tree, Mapping):
        return {key: _rebuild(item, f"{name}.{key}", leaf) for key, item in tree.items()}
    if isinstance(tree, (tuple, list)):
        items = [_rebuild(item, f"{name}.{index}", leaf) for index, item in enumerate(tree)]
        if hasattr(tree, "_fields"):
            return type(tree)(*items)
        return type(tree)(items)
    return tree
