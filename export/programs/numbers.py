"""The numbers that stand in a trace, at which a forward may do something else: values that it
compares with or measures by, and lengths that it cuts off at.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch

from carousel.export.measured.rows import VERY_LOUD

_COMPARING = ("eq", "ne", "gt", "ge", "lt", "le", "clamp", "clamp_min", "clamp_max", "isin")
_MEASURING = (
    *("add", "sub", "rsub", "div", "floor_divide", "remainder", "fmod"),
    *("threshold", "softshrink", "hardshrink", "maximum", "minimum", "bucketize"),
)
_CUTTING = (
    *("slice", "narrow", "pad", "constant_pad_nd", "reflection_pad1d", "replication_pad1d"),
    *("roll", "unfold", "split", "chunk", "tensor_split", "tril", "triu", "diff", "max_pool1d"),
    *("avg_pool1d", "convolution", "_convolution", "conv1d", "conv2d"),
)
_BEYOND = 3  # what is measured by less is within the values that are drawn
_FLAGGED = 4  # ids of a table
_MANY = 64  # numbers in a tensor; a weight has more
_SHORT, _LONGEST = 100, 20_000  # steps


def compared_with(traced: torch.jit.ScriptModule) -> frozenset[float]:
    """The numbers that forward compares values with or measures them by; NaN where it asks what is
    a number.

    A sentinel that no example has (a padding of -1, the id that ends a sentence) is among them.
    """
    graph: Any = traced.inlined_graph
    found: set[float] = set()
    if graph.findAllNodes("aten::isnan") or graph.findAllNodes("aten::nan_to_num"):
        found.add(float("nan"))
    for kind in _COMPARING:
        for node in graph.findAllNodes(f"aten::{kind}"):
            found |= set(_numbers(traced, node))
    for kind in _MEASURING:
        for node in graph.findAllNodes(f"aten::{kind}"):
            found |= {each for each in _numbers(traced, node) if _BEYOND < abs(each) <= VERY_LOUD}
    return frozenset(found)


def ids_of_tables(traced: torch.jit.ScriptModule) -> Iterator[float]:
    """Ids for which a table holds what it holds for few others (stop words), some of them."""
    for table in traced.buffers():
        if table.dtype == torch.bool and table.dim() == 1 and len(table) > _SHORT:
            few = table if 2 * int(table.sum()) <= len(table) else ~table
            ids = few.nonzero().flatten().tolist()
            yield from (float(each) for each in ids[:: len(ids) // _FLAGGED + 1])


def longest_cut(traced: torch.jit.ScriptModule) -> int:
    """The most steps that forward keeps of a sequence (`x[:, :1024]`), or looks back or is late by
    (`F.pad(x, (0, 0, 1680, 0))`), as far as a trace tells.
    """
    graph: Any = traced.inlined_graph
    ends = (
        abs(number)
        for kind in _CUTTING
        for node in graph.findAllNodes(f"aten::{kind}")
        for each in list(node.inputs())[1:]
        for number in _whole(each)
    )
    return max((each for each in ends if _SHORT < each <= _LONGEST), default=0)


def _whole(value: Any) -> list[int]:
    """The integers that a value of the graph always is, or a list that it is made of."""
    if value.node().kind() == "prim::ListConstruct":
        return [number for each in value.node().inputs() for number in _whole(each)]
    held = value.toIValue()
    several = held if isinstance(held, list) else [held]
    return [each for each in several if isinstance(each, int) and not isinstance(each, bool)]


def _numbers(traced: torch.jit.ScriptModule, node: Any) -> Iterator[float]:
    for each in node.inputs():
        value = _constant(traced, each)
        if isinstance(value, torch.Tensor) and not value.is_complex() and value.numel() <= _MANY:
            held = value.detach().flatten().tolist()
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            held = [value]
        else:
            continue
        yield from {float(each) for each in held if math.isfinite(each)}


def _constant(traced: torch.jit.ScriptModule, value: Any) -> Any:
    """What a value of the graph always is: a constant, or something that the module holds."""
    path: list[str] = []
    while value.node().kind() == "prim::GetAttr":
        path.insert(0, value.node().s("name"))
        value = value.node().input()
    if not path:
        return value.toIValue()
    held: Any = traced
    for name in path:
        held = getattr(held, name)
    return held
