"""What is changed in a module: operators of cosmic-ray, and one of our own.

Of its operators those are taken whose changes are mistakes that people make: a bound that is off by
one, a condition turned round, a loop that is never gone through. Replacing each operator by each
other makes ten times as many, of which the most fail at once wherever they stand.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from cosmic_ray import plugins
from parso.python.tree import Name

# Nodes of parso, which carries no types.
Node = Any


class Operator(Protocol):
    """What cosmic-ray asks of one."""

    def mutation_positions(self, node: Node) -> Iterable[Any]:
        """(start, end) of each change that it can make to this very node."""

    def mutate(self, node: Node, index: int) -> Node:
        """The node with that change."""


class LeaveOut:
    """A statement that only has an effect is left out: a call, a change of an attribute or an item,
    `raise`. Assignments to plain names stay: what reads them would fail, whatever it is.
    """

    def mutation_positions(self, node: Node) -> Iterable[Any]:
        """See Operator."""
        if node.type == "simple_stmt" and _has_effect(node.children[0]):
            yield node.start_pos, node.end_pos

    def mutate(self, node: Node, index: int) -> Node:
        """See Operator."""
        old = node.children[0]
        node.children[0] = Name("pass", old.start_pos, prefix=old.get_first_leaf().prefix)
        return node


def _has_effect(statement: Node) -> bool:
    if statement.type == "expr_stmt":
        target, sign = statement.children[:2]
        is_changed = getattr(sign, "value", "").endswith("=") and sign.value != "="
        return is_changed or target.type in ("atom_expr", "power")
    return statement.type in ("atom_expr", "power", "await", "await_expr", "raise_stmt")


_COMPARISONS = (
    "Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is"
)
_ARITHMETIC = "Add_Sub Sub_Add Mul_Add Div_Mul FloorDiv_Mul Mod_Add"
_NAMES = (
    *(f"ReplaceComparisonOperator_{each}" for each in _COMPARISONS.split()),
    *(f"ReplaceBinaryOperator_{each}" for each in _ARITHMETIC.split()),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd", "AddNot"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ZeroIterationForLoop"),
    *("NumberReplacer", "ExceptionReplacer"),
)


def all_operators() -> list[Operator]:
    """One of each."""
    named = [plugins.get_operator(f"core/{name}")() for name in _NAMES]
    return [*named, LeaveOut()]
