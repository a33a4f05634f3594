"""A module's source -> its mutants."""

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from tests.harness.mutants.mutant import Change, Mutant
from tests.harness.mutants.operators import all_operators


@dataclass(frozen=True, slots=True)
class _Span:
    name: str
    first: int
    last: int


def plant(source: str) -> list[Mutant]:
    """All changes of a module, in the order of its lines, none twice.

    Not those in `__repr__`, which decides nothing, in decorators (`slots=True`) and in blocks for
    types alone.
    """
    tree = ast.parse(source)
    functions, left = list(_functions(tree)), _left_alone(tree)
    lines = source.splitlines()
    seen = {_meaning(source)}
    found: list[tuple[int, Change, str]] = []
    for code in _mutated(source):
        if not _compiles(code) or (meaning := _meaning(code)) in seen:
            continue
        seen.add(meaning)
        first, before, after = _difference(lines, code.splitlines())
        if first not in left:
            change = Change(_function(functions, first), before, after)
            found.append((first, change, code))
    found.sort(key=lambda each: each[0])
    times: Counter[Change] = Counter()
    mutants = []
    for line, change, code in found:
        times[change] += 1
        key = f"{change.function}: {change.before} -> {change.after} #{times[change]}"
        mutants.append(Mutant(key, line, change, code))
    return mutants


def sample(mutants: Sequence[Mutant], count: int | None, seed: int) -> list[Mutant]:
    """So many of them, in their order; None: all. Those that stay are drawn again when others come
    or go.
    """
    if count is None:
        return list(mutants)
    ranked = sorted(
        mutants, key=lambda each: hashlib.sha256(f"{seed} {each.key}".encode()).digest()
    )
    drawn = {each.key for each in ranked[:count]}
    return [each for each in mutants if each.key in drawn]


def _mutated(source: str) -> Iterator[str]:
    nodes = list(ast_nodes(get_ast(source)))
    for operator in all_operators():
        count = sum(len(list(operator.mutation_positions(node))) for node in nodes)
        for occurrence in range(count):
            code = mutate_code(source, operator, occurrence)
            if code is not None:
                yield code


def _compiles(code: str) -> bool:
    try:
        compile(code, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


class _Negations(ast.NodeTransformer):
    """`not a < b` becomes `a >= b`, and `not not a` `a`, as far as an `if` can tell."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """See NodeTransformer, by whose rule it is named."""
        self.generic_visit(node)
        inner = node.operand
        if isinstance(node.op, ast.Not):
            if isinstance(inner, ast.UnaryOp) and isinstance(inner.op, ast.Not):
                return inner.operand
            if isinstance(inner, ast.Compare) and len(inner.ops) == 1:
                inverse = _INVERSE[type(inner.ops[0])]
                return ast.Compare(inner.left, [inverse()], inner.comparators)
        return node


_PAIRS: tuple[tuple[type[ast.cmpop], type[ast.cmpop]], ...] = (
    *((ast.Is, ast.IsNot), (ast.Eq, ast.NotEq), (ast.In, ast.NotIn)),
    *((ast.Lt, ast.GtE), (ast.LtE, ast.Gt)),
)
_INVERSE = {**dict(_PAIRS), **{inverse: each for each, inverse in _PAIRS}}


def _meaning(code: str) -> str:
    """The same text for changes that two operators make in two ways."""
    return ast.unparse(_Negations().visit(ast.parse(code)))


def _difference(old: list[str], new: list[str]) -> tuple[int, str, str]:
    """The number of the first line that differs, and what stands between equal lines, joined."""
    first = next(i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    end = 0
    while end < min(len(old), len(new)) - first and old[-1 - end] == new[-1 - end]:
        end += 1
    before, after = (
        " ".join(line.strip() for line in part[first : len(part) - end]) for part in (old, new)
    )
    return first + 1, before, after


def _functions(tree: ast.AST, prefix: str = "") -> Iterator[_Span]:
    for node in ast.iter_child_nodes(tree):
        name = prefix
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{prefix}.{node.name}".lstrip(".")
            assert node.end_lineno is not None
            yield _Span(name, node.lineno, node.end_lineno)
        yield from _functions(node, name)


def _function(functions: list[_Span], line: int) -> str:
    """The innermost that holds the line; the module where none does."""
    inside = [each.name for each in functions if each.first <= line <= each.last]
    return inside[-1] if inside else "module"


def _left_alone(tree: ast.AST) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for each in node.decorator_list:
                lines |= _lines(each)
            if node.name == "__repr__":
                lines |= _lines(node)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            lines |= _lines(node)
    return lines


def _lines(node: ast.expr | ast.stmt) -> set[int]:
    assert node.end_lineno is not None
    return set(range(node.lineno, node.end_lineno + 1))
