"""Everything a module holds besides its weights' values, so that it can be put back as it was."""

import operator
from collections import deque
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

_MAX_DEPTH = 4  # of containers and plain objects inside an attribute


class Snapshot:
    """A module's attributes, registries, flags, buffers and plain tensors at one moment.

    `restore` puts all of it back, in place: the module is then the same object with the same
    contents, whatever a run, a hook or a trace left behind. Parameters are held by identity; no
    inference changes their values.
    """

    def __init__(self, module: nn.Module) -> None:
        parts = list(module.named_modules())
        # What is TorchScript keeps its attributes where Python does not see them.
        self._attributes = [
            (path, each, dict(each.__dict__))
            for path, each in parts
            if not isinstance(each, torch.jit.ScriptModule)
        ]
        self._training = [
            (each, each.training) for _, each in parts if isinstance(each, torch.jit.ScriptModule)
        ]
        self._containers: list[tuple[Any, Any]] = []
        self._known: set[int] = set()
        self._tensors: list[tuple[str, torch.Tensor, torch.Tensor, int]] = []
        for path, _, attributes in self._attributes:
            for name, value in attributes.items():
                self._keep(path, name, value)
        for path, each in parts:
            if isinstance(each, torch.jit.ScriptModule):
                self._keep(path, "_buffers", dict(each.named_buffers(recurse=False)))

    def __repr__(self) -> str:
        return f"<Snapshot modules={len(self._attributes)} tensors={len(self._tensors)}>"

    def changed(self) -> tuple[str, ...]:
        """Names of the tensors in attributes and buffers that are not what they were."""
        names = [name for name, now, was, version in self._tensors if _altered(now, was, version)]
        for path, module, attributes in self._attributes:
            before = {**attributes, **self._saved(attributes["_buffers"])}
            for name, value in {**module.__dict__, **module._buffers}.items():
                if name != "_buffers" and _differ(value, before.get(name)):
                    names.append(_join(path, name))
        return tuple(dict.fromkeys(names))

    def storages(self) -> dict[int, str]:
        """Names of the plain tensors and buffers by the address of their storage."""
        return {tensor.untyped_storage().data_ptr(): name for name, tensor, _, _ in self._tensors}

    def named_tensors(self) -> list[tuple[str, torch.Tensor]]:
        """The plain tensors and buffers, by name."""
        return [(name, each) for name, each, _, _ in self._tensors if not each.is_inference()]

    def restore(self) -> None:
        """Put everything back."""
        for _, module, attributes in self._attributes:
            module.__dict__.clear()
            module.__dict__.update(attributes)
        for module, training in self._training:
            module.training = training
        for container, contents in self._containers:
            if _unchanged(container, contents):
                continue  # others may be reading it
            container.clear()
            if isinstance(container, (dict, set)):
                container.update(contents)
            else:
                container.extend(contents)
        with torch.no_grad():
            for index, (name, tensor, value, version) in enumerate(self._tensors):
                if _altered(tensor, value, version):
                    with torch.inference_mode(tensor.is_inference()):
                        tensor.copy_(value)
                    self._tensors[index] = (name, tensor, value, _version(tensor))

    def _keep(self, path: str, name: str, value: object, depth: int = 0) -> None:
        """Note `value`, and the containers and plain objects in it, unless seen already."""
        if depth > _MAX_DEPTH or id(value) in self._known:
            return
        if isinstance(value, (dict, list, set, deque)):
            self._known.add(id(value))
            self._containers.append((value, _contents(value)))
        for key, tensor in _plain_tensors(value):
            label = key if name == "_buffers" else name
            copy = tensor.detach().clone()
            self._tensors.append((_join(path, label), tensor, copy, _version(tensor)))
        for inner in _inner(value):
            self._keep(path, name, inner, depth + 1)

    def _saved(self, container: object) -> dict[str, Any]:
        contents = next(saved for held, saved in self._containers if held is container)
        return dict(contents)


def _contents(container: Any) -> Any:
    return dict(container) if isinstance(container, dict) else tuple(container)


def _unchanged(container: Any, contents: Any) -> bool:
    if len(container) != len(contents):
        return False
    if isinstance(container, dict) and not all(
        map(operator.is_, container.values(), contents.values())
    ):
        return False
    return all(map(operator.is_, container, contents))


def _version(tensor: torch.Tensor) -> int:
    """How often `tensor` was changed in place; tensors made in inference mode do not count."""
    return -1 if tensor.is_inference() else tensor._version


def _altered(tensor: torch.Tensor, value: torch.Tensor, version: int) -> bool:
    if tensor.is_inference():
        return not torch.equal(tensor, value)
    return tensor._version != version


def _inner(value: object) -> list[object]:
    """What may hold further tensors: containers, and the attributes of plain objects."""
    if isinstance(value, dict):
        items = list(value.values())
    elif isinstance(value, (list, tuple, deque)):
        items = list(value)
    else:
        items = [value]
    found = [each for each in items if isinstance(each, (dict, list, tuple, set, deque))]
    opaque = (nn.Module, torch.Tensor, type, FunctionType, ModuleType)
    plain = [each for each in items if not isinstance(each, opaque)]
    found += [each.__dict__ for each in plain if isinstance(getattr(each, "__dict__", 0), dict)]
    return [each for each in found if each is not value]


def detach_attributes(module: nn.Module) -> None:
    """Free plain tensors in attributes of their gradients' history, which no trace can hold."""
    for each in module.modules():
        for name, value in list(each.__dict__.items()):
            if isinstance(value, torch.Tensor) and value.requires_grad:
                each.__dict__[name] = value.detach()


def _join(path: str, name: str) -> str:
    return f"{path}.{name}".lstrip(".")


def _plain_tensors(value: object) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors in `value`, one level deep, that are not parameters, each with its key."""
    items: list[tuple[object, object]] = [("", value)]
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, (list, tuple, deque)):
        items = list(enumerate(value))
    for key, item in items:
        if isinstance(item, torch.Tensor) and not isinstance(item, nn.Parameter):
            yield str(key), item


def _differ(now: object, before: object) -> bool:
    """Whether the tensors in `now` are other values than those in `before`."""
    if now is before:
        return False  # what was changed in place shows in the tensors' versions
    left = [tensor for _, tensor in _plain_tensors(now)]
    right = [tensor for _, tensor in _plain_tensors(before)]
    if len(left) != len(right):
        return True
    return any(
        a.shape != b.shape or not torch.equal(a, b) for a, b in zip(left, right, strict=True)
    )
