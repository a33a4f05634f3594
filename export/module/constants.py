"""The whole numbers that stand in a forward's Python code, which a trace does not show: lengths at
which it may do something else (`if t % 1500 == 0`, `if t < self.warmup`).
"""

from collections.abc import Collection, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

from torch import nn

_MOST_FUNCTIONS = 1000  # of a module's code that are read


def whole_numbers(module: nn.Module) -> frozenset[int]:
    """Numbers in the code of the user's modules, in what it calls, and in what it reads of them or
    of a configuration; without those that are sizes of weights.
    """
    found: set[int] = set()
    for each in module.modules():
        if not _is_torch(type(each)):
            codes = list(_codes(type(each)))
            names = {name for code, _ in codes for name in code.co_names}
            found |= {number for code, _ in codes for number in _ints(code.co_consts)}
            found |= {number for code, known in codes for number in _read(known, {*code.co_names})}
            own = {name: value for kind in type(each).__mro__ for name, value in vars(kind).items()}
            own |= vars(each)
            found |= set(_read(own, names))
            for value in own.values():
                found |= set(_read(_fields(value), names))
    sizes = {size for each in module.state_dict().values() for size in getattr(each, "shape", ())}
    return frozenset(found - sizes)


def _codes(kind: type) -> Iterator[tuple[CodeType, Mapping[str, Any]]]:
    """The code of a class but for its __init__, with the globals it reads; and the functions it
    calls.
    """
    left: list[Any] = [
        value
        for each in kind.__mro__
        if not _is_torch(each)
        for name, value in vars(each).items()
        if name != "__init__"
    ]
    seen: set[int] = set()
    while left and len(seen) < _MOST_FUNCTIONS:
        function = left.pop()
        function = getattr(function, "__func__", getattr(function, "fget", function))
        function = getattr(function, "__wrapped__", function)
        if not isinstance(function, FunctionType) or id(function) in seen or _is_torch(function):
            continue
        seen.add(id(function))
        for code in _nested(function.__code__):
            yield code, function.__globals__
            left += [function.__globals__.get(name) for name in code.co_names]


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _nested(each)


def _read(values: Mapping[str, Any], names: Collection[str]) -> Iterator[int]:
    return _ints(value for name, value in values.items() if name in names)


def _ints(values: Any) -> Iterator[int]:
    for each in values:
        if isinstance(each, tuple):
            yield from _ints(each)
        elif isinstance(each, int) and not isinstance(each, bool):
            yield abs(each)


def _fields(value: Any) -> Mapping[str, Any]:
    """What a configuration holds; nothing of other values."""
    if isinstance(value, dict):
        return {str(key): each for key, each in value.items()}
    held = getattr(value, "__dict__", None)
    return held if isinstance(held, dict) and not isinstance(value, nn.Module) else {}


def _is_torch(value: type | FunctionType) -> bool:
    return value.__module__.split(".")[0] in ("torch", "builtins")
