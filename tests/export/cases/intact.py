"""Whether a module is what it was: weights, buffers, flags, attributes, hooks."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def bit_equal(module: nn.Module) -> Iterator[None]:
    """Within it the module may be used; afterwards it must be what it was."""
    before = {name: each.clone() for name, each in module.state_dict().items()}
    objects = {path: dict(each.__dict__) for path, each in module.named_modules()}
    flags = {name: each.requires_grad for name, each in module.named_parameters()}
    hooks = {path: _hooks(each) for path, each in module.named_modules()}
    yield
    assert all(torch.equal(before[name], each) for name, each in module.state_dict().items())
    for path, each in module.named_modules():
        assert list(each.__dict__) == list(objects[path])
        assert all(each.__dict__[name] is value for name, value in objects[path].items())
    assert flags == {name: each.requires_grad for name, each in module.named_parameters()}
    assert hooks == {path: _hooks(each) for path, each in module.named_modules()}


def _hooks(module: nn.Module) -> list[int]:
    return [len(value) for name, value in vars(module).items() if name.endswith("_hooks")]
