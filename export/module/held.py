"""The whole numbers that a value holds: of an attribute, a configuration, a table of steps."""

import enum
import functools
import math
from collections.abc import Collection, Iterator, Mapping, Set
from datetime import timedelta
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

_MANY = 300  # of a container, the largest first
_FEW = 64  # numbers in a tensor of floats; a table of gains has more
_DEEP = 4  # containers in each other
_LIBRARIES = ("torch", "numpy", "builtins")


def numbers_in(value: Any, names: Collection[str], deep: int = _DEEP) -> Iterator[int]:
    """Those that it is or holds, its size among them; of objects and of what stands under words
    only what is among `names`, which code reads.
    """
    if isinstance(value, (int, float)):
        if not isinstance(value, bool) and math.isfinite(value):
            yield int(abs(value))
    elif isinstance(value, timedelta):
        yield int(abs(value.total_seconds()))
    elif isinstance(value, torch.Tensor) or type(value).__module__ == "numpy":
        yield from _numbers_of_array(value)
    elif deep and isinstance(value, functools.partial):
        for each in (*value.args, *value.keywords.values()):
            yield from numbers_in(each, names, deep - 1)
    elif deep and isinstance(value, (list, tuple, Set, range)):
        yield len(value)
        found = {each for held in value for each in numbers_in(held, names, deep - 1)}
        yield from sorted(found)[-_MANY:]
    elif deep:
        # A library may add to what it holds as soon as it is looked at.
        for key, each in list(_fields(value).items()):
            if isinstance(key, str) and key not in names:
                continue
            for one in (key, each):
                yield from () if isinstance(one, str) else numbers_in(one, names, deep - 1)


def _numbers_of_array(value: Any) -> Iterator[int]:
    """Of a tensor or of numpy; a weight has none."""
    if isinstance(value, nn.Parameter) or not hasattr(value, "shape"):
        return
    yield from value.shape
    made = value if isinstance(value, torch.Tensor) else _as_tensor(value)
    if made is None or made.is_complex() or made.dtype == torch.bool:
        return
    if not made.is_floating_point() or made.numel() <= _FEW:
        whole = made.detach().flatten().double()
        numbers = {int(each) for each in whole[whole.isfinite()].abs().tolist()}
        yield from sorted(numbers)[-_MANY:]


def _as_tensor(value: Any) -> torch.Tensor | None:
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):  # words, or objects
        return None


def _fields(value: Any) -> Mapping[Any, Any]:
    """What a configuration or a module of Python's holds; nothing of a library's own."""
    if isinstance(value, dict):
        return value
    if isinstance(value, nn.Module) or _is_of_library(value):
        return {}
    if isinstance(value, enum.EnumMeta):
        members: Mapping[str, enum.Enum] = value.__members__
        return {name: each.value for name, each in members.items()}
    if isinstance(value, type):  # settings that are a class
        kinds = [vars(one) for one in reversed(value.__mro__) if not _is_of_library(one)]
        fields: dict[str, Any] = {name: each for kind in kinds for name, each in kind.items()}
        # What it does is read as code is.
        return {name: each for name, each in fields.items() if not isinstance(each, FunctionType)}
    kind = type(value)
    slots = {name for each in kind.__mro__ for name in getattr(each, "__slots__", ())}
    own = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    held = getattr(value, "__dict__", None)
    plain = {name: each for name, each in vars(kind).items() if not callable(each)}
    return {**plain, **own, **(held if isinstance(held, dict) else {})}


def _is_of_library(value: Any) -> bool:
    if isinstance(value, type):
        name = value.__module__
    else:
        name = value.__name__ if isinstance(value, ModuleType) else type(value).__module__
    return str(name).split(".")[0] in _LIBRARIES
