"""What forward's own code calls the tensors that it returns."""

import ast
import inspect
import textwrap
from collections.abc import Iterator

from torch import nn

from carousel.export.module.tree import labels


def output_names(module: nn.Module, tree: object) -> dict[str, str]:
    """What each output is called, by its full name ("output.1.0"): by its key or field in `tree`,
    which forward returned, or by the variable that it is in forward's code.
    """
    return {**_variables(module), **labels(tree, "output")}


def _variables(module: nn.Module) -> dict[str, str]:
    """Where every return statement says the same; nothing where there is no Python to read."""
    found = [dict(_names(each.value, "output")) for each in _returns(module)]
    return found[0] if found and all(each == found[0] for each in found) else {}


def _returns(module: nn.Module) -> Iterator[ast.Return]:
    """The return statements of forward, those of functions inside of it left aside."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(type(module).forward)))
    except (AttributeError, OSError, TypeError, SyntaxError):  # no function, or not of a file
        return
    waiting: list[ast.AST] = list(ast.iter_child_nodes(tree.body[0]))
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Return):
            yield node
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def _names(value: ast.expr | None, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, ast.Name):
        yield path, value.id
    elif isinstance(value, (ast.Tuple, ast.List)):
        for index, each in enumerate(value.elts):
            yield from _names(each, f"{path}.{index}")
