"""Nested tuples, lists, mappings and objects of tensors, as `forward` takes and returns them.

Every tensor has a name: the root's for a lone tensor, `root.0`, `root.key`, `root.field` for those
inside. What is not a tensor (None, numbers, strings) is structure and stays as it is.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

Tree = Any  # a tensor, or containers and objects of trees, or a constant

_MAX_DEPTH = 8  # of objects in each other, which may lead back to themselves
_CONSTANTS = (
    *(type(None), bool, int, float, complex, str, bytes, Enum, type, slice, range),
    *(torch.dtype, torch.device, torch.layout, torch.Size, torch.memory_format),
)
_OPAQUE = (nn.Module, torch.Generator, np.ndarray, FunctionType, MethodType, ModuleType)


def flatten(tree: Tree, name: str) -> dict[str, torch.Tensor]:
    """Every tensor of `tree` by its name, in order."""
    return dict(_walk(tree, name))


def fill(tree: Tree, name: str, values: Mapping[str, torch.Tensor]) -> Tree:
    """`tree` with each tensor replaced by the one of its name in `values`; objects are copies."""
    return _rebuild(tree, name, lambda leaf: values[leaf])


def copied(tree: Tree) -> Tree:
    """Nested tuples and lists of tensors with copies of those, free of their history."""
    if isinstance(tree, torch.Tensor):
        return tree.detach().clone()
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*map(copied, tree))
    if isinstance(tree, (tuple, list)):
        return type(tree)(copied(each) for each in tree)
    return tree


def labels(tree: Tree, name: str) -> dict[str, str]:
    """A short label for each tensor: its key in a mapping or its field, if any."""
    if isinstance(tree, tuple):
        fields = getattr(tree, "_fields", ())
        return {f"{name}.{index}": str(field) for index, field in enumerate(fields)}
    if isinstance(tree, (torch.Tensor, list)):
        return {}
    return {f"{name}.{key}": str(key) for key in _items(tree)}


def holds_packed(tree: Tree) -> bool:
    """Whether a PackedSequence stands anywhere in `tree`."""
    return isinstance(tree, PackedSequence) or any(map(holds_packed, _items(tree).values()))


def opaque(tree: Tree, name: str) -> tuple[str, Any] | None:
    """The first thing in `tree` that may hide what forward computes with, and where it stands.

    Lists of numbers count: they would be the same for every call.
    """
    if isinstance(tree, (torch.Tensor, PackedSequence)) or _is_constant(tree):
        return None
    items = _items(tree)
    if not items and not (isinstance(tree, (Mapping, tuple, list)) or _fields(tree) is not None):
        return name, tree
    numbers = items and all(type(each) in (int, float) for each in items.values())
    if numbers and isinstance(tree, (tuple, list)) and not hasattr(tree, "_fields"):
        return name, tree
    found = (opaque(item, f"{name}.{key}") for key, item in items.items())
    return next((each for each in found if each is not None), None)


def others(tree: Tree, name: str) -> dict[str, Any]:
    """What stands in `tree` that is neither a tensor, nor None, nor holds any, by its name."""
    if tree is None or isinstance(tree, torch.Tensor):
        return {}
    items = _items(tree)
    if _is_constant(tree) or not (items or isinstance(tree, (Mapping, tuple, list))):
        return {name: tree}
    if not (isinstance(tree, (Mapping, tuple, list)) or dataclasses.is_dataclass(tree)):
        return {name: tree}
    found: dict[str, Any] = {}
    for key, item in items.items():
        found |= others(item, f"{name}.{key}")
    return found


def _walk(tree: Tree, name: str, depth: int = 0) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(tree, torch.Tensor):
        yield name, tree
    elif depth < _MAX_DEPTH:
        for key, item in _items(tree).items():
            yield from _walk(item, f"{name}.{key}", depth + 1)


def _items(tree: Tree) -> Mapping[Any, Any]:
    """What is directly inside, by key, place or field; nothing of what is no container."""
    if isinstance(tree, torch.Tensor) or _is_constant(tree):
        return {}
    if isinstance(tree, Mapping):
        return dict(tree.items())
    if isinstance(tree, (tuple, list)):
        return dict(enumerate(tree))
    return _fields(tree) or {}


def _fields(tree: Tree) -> dict[str, Any] | None:
    """The attributes of a plain object; None of what is none."""
    if isinstance(tree, _OPAQUE) or callable(tree) or hasattr(type(tree), "__next__"):
        return None
    if dataclasses.is_dataclass(tree):
        return {each.name: getattr(tree, each.name) for each in dataclasses.fields(tree)}
    slots = [
        name
        for kind in type(tree).__mro__
        for name in _names(kind.__dict__.get("__slots__", ()))
        if hasattr(tree, name) and name not in ("__dict__", "__weakref__")
    ]
    inside = getattr(tree, "__dict__", None)
    if inside is None and not slots:
        return None
    return {**{name: getattr(tree, name) for name in slots}, **(inside or {})}


def _names(slots: Any) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_constant(tree: Tree) -> bool:
    return isinstance(tree, _CONSTANTS)


def _rebuild(tree: Tree, name: str, leaf: Callable[[str], torch.Tensor], depth: int = 0) -> Tree:
    if isinstance(tree, torch.Tensor):
        return leaf(name)
    if depth >= _MAX_DEPTH:
        return tree
    items = {
        key: _rebuild(item, f"{name}.{key}", leaf, depth + 1) for key, item in _items(tree).items()
    }
    if type(tree) is dict:
        return items
    if isinstance(tree, (tuple, list)):
        if hasattr(tree, "_fields"):
            return type(tree)(*items.values())
        return type(tree)(items.values())
    if not any(True for _ in _walk(tree, name)):
        return tree
    made = copy.copy(tree)
    sized = hasattr(made, "auto_batch_size_")  # a TensorDict, which holds its tensors to a size
    if sized:
        made.batch_size = []
    for key, item in items.items():
        if isinstance(tree, Mapping):
            made[key] = item
        else:
            object.__setattr__(made, key, item)
    if sized:
        made.auto_batch_size_(len(tree.batch_size))
    return made
