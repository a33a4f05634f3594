"""What a TorchScript forward reads of its module: weights, buffers, attributes and constants."""

import hashlib
from collections.abc import Iterator
from typing import Any

import torch

from carousel.export.files.signature import forward_of


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
                yield path, self._value(path)

    def _value(self, path: str) -> Any:
        found: Any = self._module
        for part in path.split("."):
            found = getattr(found, part)
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
