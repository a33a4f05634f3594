"""What `forward` takes and returns, read without the exporter's help."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch


def leaves(tree: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of `tree` in order, by name: `root`, `root.0`, `root.key`, `root.field`."""
    if isinstance(tree, torch.Tensor):
        yield name, tree
        return
    for key, item in _items(tree):
        yield from leaves(item, f"{name}.{key}")


def tensors(tree: Any) -> list[torch.Tensor]:
    """Every tensor of `tree` in order."""
    return [tensor for _, tensor in leaves(tree, "")]


def _items(tree: Any) -> list[tuple[Any, Any]]:
    if isinstance(tree, Mapping) or hasattr(tree, "items"):
        return list(tree.items())
    if isinstance(tree, (tuple, list)):
        return list(enumerate(tree))
    if dataclasses.is_dataclass(tree):
        return [(each.name, getattr(tree, each.name)) for each in dataclasses.fields(tree)]
    return []
