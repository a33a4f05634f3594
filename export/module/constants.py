"""The whole numbers that stand in a forward's Python code, which a trace does not show: lengths at
which it may do something else (`if t % 1500 == 0`, `if t < self.warmup`).
"""

import functools
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import nn

from carousel.export.module.computed import computed_numbers
from carousel.export.module.held import numbers_in
from carousel.export.module.scripts import KINDS, python_behind

_MOST_FUNCTIONS = 1000  # of a module's code that are read


def whole_numbers(module: nn.Module) -> frozenset[int]:
    """Numbers in the code of the user's modules, in what it calls, and in what it reads of them or
    of a configuration, sizes of weights among them.
    """
    found: set[int] = set()
    for each in module.modules():
        if _is_torch(type(each)):
            continue
        functions = list(_functions(each))
        codes = [code for function in functions for code in _nested(function.__code__)]
        names = {name for code in codes for name in code.co_names}
        names |= {text for code in codes for text in _words(code.co_consts)}
        for code in codes:
            found |= set(numbers_in(code.co_consts, ()))
        for function in functions:
            found |= set(computed_numbers(function, each))
            for value in _bound(function):
                found |= set(numbers_in(value, names))
        own = {name: value for kind in type(each).__mro__ for name, value in vars(kind).items()}
        own |= {**vars(each), **each._buffers}
        for name, value in own.items():
            found |= set(numbers_in(value, names)) if name in names else set()
            # An attribute of another name may be handed on; it says what it is by its fields.
            held = getattr(value, "__dict__", value if isinstance(value, dict) else None)
            if name not in names and isinstance(held, dict) and not isinstance(value, nn.Module):
                found |= set(numbers_in(value, names))
    return frozenset(found)


def sizes(module: nn.Module) -> frozenset[int]:
    """Sizes of the module's weights."""
    weights = module.parameters()
    return frozenset(size for each in weights for size in getattr(each, "shape", ()))


def _functions(module: nn.Module) -> Iterator[FunctionType]:
    """What a module does but for its __init__, and what that calls."""
    left: list[Any] = [
        value
        for kind in type(module).__mro__
        if not _is_torch(kind)
        for name, value in vars(kind).items()
        if name != "__init__"
    ]
    for each in vars(module).values():
        plain = isinstance(each, (FunctionType, MethodType, functools.partial, *KINDS))
        left.append(each if plain or isinstance(each, nn.Module) else type(each))
    seen: set[int] = set()
    while left and len(seen) < _MOST_FUNCTIONS:
        function = left.pop()
        if isinstance(function, functools.partial):
            left += [function.func, *function.args, *function.keywords.values()]
        if isinstance(function, KINDS):
            function = python_behind(function)
        function = getattr(function, "__func__", getattr(function, "fget", function))
        function = getattr(function, "__wrapped__", function)
        if isinstance(function, type) and not _is_torch(function) and id(function) not in seen:
            seen.add(id(function))
            left += vars(function).values()
        if not isinstance(function, FunctionType) or id(function) in seen or _is_torch(function):
            continue
        seen.add(id(function))
        yield function
        left += _bound(function)


def _bound(function: FunctionType) -> Iterator[Any]:
    """What a function reads that is no attribute: globals, what it closes over, and defaults."""
    for code in _nested(function.__code__):
        for name in code.co_names:
            value = function.__globals__.get(name)
            yield value
            if isinstance(value, ModuleType) and not _is_of_torch(value.__name__):
                yield from (getattr(value, each, None) for each in code.co_names)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not yet bound
            continue
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _nested(each)


def _words(values: Any) -> Iterator[str]:
    for each in values:
        if isinstance(each, str):
            yield each
        elif isinstance(each, (tuple, frozenset)):
            yield from _words(each)


def _is_torch(value: type | FunctionType) -> bool:
    return _is_of_torch(value.__module__ or "")


def _is_of_torch(name: str) -> bool:
    return name.split(".")[0] in ("torch", "builtins", "numpy", "math")
