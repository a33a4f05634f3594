"""Which inputs of a TorchScript module look up a table, and how many rows it has."""

from typing import Any

import torch

from carousel.export.files.signature import forward_of

# Operators whose result holds the ids of their first input, in another shape or dtype.
_PASSING = {
    *("aten::to", "aten::squeeze", "aten::unsqueeze", "aten::view", "aten::reshape", "aten::slice"),
    *(
        "aten::transpose",
        "aten::permute",
        "aten::t",
        "aten::contiguous",
        "aten::long",
        "aten::clone",
    ),
    *("aten::flatten", "aten::select", "aten::expand"),
}


def vocabulary(module: torch.jit.ScriptModule, name: str) -> int | None:
    """The rows of the smallest table that the parameter `name` looks up; None if it is none."""
    graph = forward_of(module).inlined_graph
    found = [
        rows
        for node in graph.findAllNodes("aten::embedding")
        for table, ids in [list(node.inputs())[:2]]
        if _source(ids).debugName().partition(".")[0] == name
        for rows in _rows(module, table)
    ]
    return min(found, default=None)


def _source(value: Any) -> Any:
    while value.node().kind() in _PASSING:
        value = next(iter(value.node().inputs()))
    return value


def _rows(module: torch.jit.ScriptModule, table: Any) -> list[int]:
    """The rows of the tensor that a chain of attributes names."""
    path: list[str] = []
    while table.node().kind() == "prim::GetAttr":
        path.insert(0, table.node().s("name"))
        table = next(iter(table.node().inputs()))
    found: Any = module
    for part in path:
        found = getattr(found, part, None)
    return [found.shape[0]] if isinstance(found, torch.Tensor) and found.dim() == 2 else []
