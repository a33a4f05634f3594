"""What a TorchScript forward reads of its module: weights, buffers, attributes and constants; and
which of its inputs look up a table.
"""

import hashlib
from collections.abc import Iterator
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


class Attributes:
    """The values that forward reads, held as they are now; `changed` says which runs wrote to."""

    def __init__(self, module: torch.jit.ScriptModule) -> None:
        self._module = module
        self._graph = forward_of(module).inlined_graph
        self._before = {path: list(_leaves(value)) for path, value in self._values()}

    def __repr__(self) -> str:
        return f"<Attributes {len(self._before)} changed={self.changed()}>"

    def changed(self) -> list[str]:
        """Paths of the values that are not what they were."""
        return sorted(
            path
            for path, value in self._values()
            if not _is_same(self._before[path], list(_leaves(value)))
        )

    def digest(self) -> str:
        """A hash of all numbers that forward reads, those in its code included."""
        found = hashlib.sha256()
        for path, leaves in sorted(self._before.items()):
            for each, _ in leaves:
                found.update(f"{path} {_told(each)}\n".encode())
        for node in self._graph.findAllNodes("prim::Constant"):
            for name in node.attributeNames():
                value = getattr(node, node.kindOf(name), str)(name)
                found.update(f"{_told(value)}\n".encode())
        return found.hexdigest()

    def _values(self) -> Iterator[tuple[str, Any]]:
        """Each attribute that is no module, once."""
        seen: set[str] = set()
        for node in self._graph.findAllNodes("prim::GetAttr"):
            path = _path(node)
            if path and path not in seen:
                seen.add(path)
                yield path, _value(self._module, path)


def vocabulary(module: torch.jit.ScriptModule, name: str) -> int | None:
    """The rows of the smallest table that the parameter `name` looks up; None if it is none."""
    graph = forward_of(module).inlined_graph
    found = [
        _value(module, _path(table.node()))
        for node in graph.findAllNodes("aten::embedding")
        for table, ids in [list(node.inputs())[:2]]
        if _source(ids).debugName().partition(".")[0] == name
    ]
    tables = [each for each in found if isinstance(each, torch.Tensor) and each.dim() == 2]
    return min((each.shape[0] for each in tables), default=None)


def _source(value: Any) -> Any:
    while value.node().kind() in _PASSING:
        value = next(iter(value.node().inputs()))
    return value


def _value(module: torch.jit.ScriptModule, path: str) -> Any:
    """What stands there; the module itself at no path, None where nothing is."""
    found: Any = module
    for part in path.split(".") if path else ():
        found = getattr(found, part, None)
    return found


def _path(node: Any) -> str:
    """Where the attribute stands, as in `inner.hidden`; empty for a module."""
    if node.output().type().kind() == "ClassType":
        return ""
    parts: list[str] = []
    while node.kind() == "prim::GetAttr":
        parts.insert(0, node.s("name"))
        node = next(iter(node.inputs())).node()
    return ".".join(parts) if node.kind() == "prim::Param" else ""


def _leaves(value: Any) -> Iterator[tuple[Any, int]]:
    """The tensors and numbers in a value, each with the count of writes into it."""
    if isinstance(value, torch.Tensor):
        yield value, value._version
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key, 0
            yield from _leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value, 0


def _is_same(before: list[tuple[Any, int]], after: list[tuple[Any, int]]) -> bool:
    return len(before) == len(after) and all(
        _is_untouched(old, count, new) for (old, count), (new, _) in zip(before, after, strict=True)
    )


def _is_untouched(old: Any, count: int, new: Any) -> bool:
    if not isinstance(old, torch.Tensor):
        return repr(old) == repr(new)
    if old._version != count or not isinstance(new, torch.Tensor):
        return False
    return old is new or (old.dtype == new.dtype and torch.equal(old, new))


def _told(value: Any) -> str:
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
        return repr(value)
    plain = value.detach().cpu().contiguous()
    data = plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    return f"{value.dtype} {tuple(value.shape)} {hashlib.sha256(data).hexdigest()}"
