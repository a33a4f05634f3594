"""Whole numbers that Python code computes from numbers that it knows (`self.minutes * 60`), and the
steps after which a sum of equal parts passes one (`now += 0.01` and `now > 60`).
"""

import ast
import inspect
import math
import operator
import textwrap
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import FunctionType, MemberDescriptorType
from typing import Any

from torch import nn

_Number = int | float

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_CALLS: Mapping[str, Callable[..., Any]] = {
    **{"int": int, "float": float, "round": round, "abs": abs, "min": min, "max": max},
    **{"ceil": math.ceil, "floor": math.floor, "sqrt": math.sqrt, "pow": math.pow},
}
_SIZED = (str, bytes, list, tuple, dict, set, frozenset, range)
_POWERS = 64  # the largest exponent
_MOST = 1e9  # what is more is no number of steps


def computed_numbers(function: FunctionType, module: nn.Module) -> Iterator[int]:
    """Of a function of the code of `module`; nothing where there is no source to read."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # made by exec, or a lambda in the midst of a line
        return
    known = _Known(function, module, tree)
    parts: set[_Number] = set()
    limits: set[_Number] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.BinOp, ast.Call)):
            yield from _whole(known.value(node))
        if isinstance(node, ast.AugAssign) and isinstance(node.op, (ast.Add, ast.Sub)):
            parts |= known.among(node.value)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            parts |= known.among(node.left, node.right)
        if isinstance(node, ast.Compare):
            limits |= known.among(node.left, *node.comparators)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mod, ast.FloorDiv)):
            limits |= known.among(node.right)
    for limit in limits:
        for part in parts:
            if part != 0:
                yield from _whole(abs(limit / part))


class _Known:
    """What a function's expressions are, where they are numbers before it is called."""

    def __init__(self, function: FunctionType, module: nn.Module, tree: ast.AST) -> None:
        held: dict[str, Any] = {}
        for name, each in inspect.signature(function).parameters.items():
            held[name] = module if name == "self" else each.default
        self._held = ChainMap(held, _closed_over(function), function.__globals__)
        stored = [
            node.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        ]
        held.update(dict.fromkeys(stored))  # a variable that changes is no number
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    held[name] = self.value(value) if stored.count(name) == 1 else None

    def __repr__(self) -> str:
        return f"<_Known {sorted(self._held)}>"

    def among(self, *nodes: ast.expr) -> set[_Number]:
        """Those of `nodes` that are numbers."""
        found = (self.value(node) for node in nodes)
        return {each for each in found if each is not None}

    def value(self, node: ast.expr) -> _Number | None:
        """The number that it is."""
        try:
            found = self._evaluate(node)
        except (ArithmeticError, ValueError, TypeError, AttributeError):
            return None
        plain = isinstance(found, (int, float)) and not isinstance(found, bool)
        return found if plain and math.isfinite(found) else None

    def _evaluate(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return self._held.get(name)
            case ast.Attribute(value=of, attr=name):
                return _attribute(self._evaluate(of), name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._evaluate(operand)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                power = self.value(right)
                small = power is not None and abs(power) <= _POWERS
                return self._evaluate(left) ** power if small else None
            case ast.BinOp(left=left, op=kind, right=right) if type(kind) in _OPERATORS:
                one, other = self.value(left), self.value(right)
                alike = one is not None and other is not None
                return _OPERATORS[type(kind)](one, other) if alike else None
            case ast.Call(func=ast.Name(id="len"), args=[held]):
                sized = self._evaluate(held)
                return len(sized) if isinstance(sized, _SIZED) else None
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name), args=args):
                values = [self.value(each) for each in args]
                plain = name in _CALLS and values and None not in values
                return _CALLS[name](*values) if plain else None
        return None


def _closed_over(function: FunctionType) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # not yet bound
            found[name] = cell.cell_contents
    return found


def _attribute(held: Any, name: str) -> Any:
    """What stands in an object or its class; nothing of the user's is called for it."""
    if isinstance(held, nn.Module):
        for each in (held._buffers, held._modules):
            if name in each:
                return _number_of(each[name])
    found = inspect.getattr_static(held, name)
    return _number_of(found.__get__(held) if isinstance(found, MemberDescriptorType) else found)


def _number_of(value: Any) -> Any:
    """The number that a tensor or an array of one number holds; anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _whole(number: _Number | None) -> Iterator[int]:
    if number is not None and abs(number) < _MOST:
        yield int(abs(number))
