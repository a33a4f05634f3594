"""Two runs of a module on the same input must agree; where they do not, what is random is named."""

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import nn

from carousel.export.errors import ExportRefused, ForwardFailed, first_line
from carousel.export.measured.tolerance import difference
from carousel.export.module.layers import recurrent_layers
from carousel.export.module.original import Observation, Original
from carousel.export.module.tree import flatten, holds_packed, others

_Trail = list[tuple[str, bool, list[torch.Tensor]]]  # path, leaving (or entering), tensors


def observe_twice(original: Original) -> Observation:
    """One run of the example; raises ExportRefused unless another run says the same."""
    values = original.signature.tensors()
    first = _observe(original)
    second = original.run(values)
    same = first.outputs.keys() == second.outputs.keys() and all(
        _equal(first.outputs[name], second.outputs[name]) for name in first.outputs
    )
    if not same or not _same_starts(first, second):
        raise ExportRefused(
            f"two runs on the same input differ: {_random_part(original)} is random",
            "make it deterministic in eval mode (dropout that follows self.training, a state that "
            "starts at zeros or at a parameter)",
        )
    if not first.changed:
        once, again = original.twice(values)
        if not all(_equal(each, again[name]) for name, each in once.items()):
            raise ExportRefused(
                "forward answers the same inputs otherwise when it is called again, by something "
                "that it counts or keeps outside of its tensors",
                "let its answer depend on its inputs and its state alone",
            )
    if holds_packed(first.tree):
        raise ExportRefused(
            "forward returns a PackedSequence, which has no batch axis",
            "unpack it with pad_packed_sequence and return the padded tensor",
        )
    dropped = others(first.tree, "output")
    if dropped:
        place, value = next(iter(dropped.items()))
        raise ExportRefused(
            f"forward returns {place!r}, of the type {type(value).__name__}, which is no tensor",
            "return the tensors that it is made of (of a distribution its parameters, such as the "
            "mean and the standard deviation), or leave it out",
        )
    if not first.outputs:
        raise ExportRefused("forward returns no tensor", "return the outputs as tensors")
    return first


@contextmanager
def generators_held() -> Iterator[None]:
    """The random generators of torch, NumPy and Python stand afterwards where they stood."""
    python, numpy = random.getstate(), np.random.get_state()  # the user's own
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def refuse_rewritten(original: Original) -> None:
    """Raise ExportRefused where forward changed its own weights; they are put back later."""
    rewritten = original.rewritten()
    if rewritten:
        raise ExportRefused(
            f"forward rewrites its own weight {rewritten[0]!r}",
            "prepare the weights once, outside forward",
        )


def _observe(original: Original) -> Observation:
    """The example's run. Layers that would go on from what an earlier call left in an attribute
    start at zeros, from here on: what is left over may not even fit the example.
    """
    values = original.signature.tensors()
    original.zero = frozenset(recurrent_layers(original.module))
    left_over: frozenset[str] = frozenset()
    with suppress(Exception):  # zeros may not be what a layer takes; the plain run decides
        calls, changed = (seen := original.run(values)).calls, seen.changed
        left_over = frozenset(path for path, name in calls.attributes.items() if name in changed)
    original.zero = left_over
    try:
        return original.run(values)
    except ForwardFailed as failed:
        error = failed.cause
        raise ExportRefused(
            f"forward fails on the example: {type(error).__name__}: {first_line(error)}",
            "give the inputs that forward takes",
        ) from error


def _same_starts(first: Observation, second: Observation) -> bool:
    for path, calls in first.calls.layers.items():
        others = second.calls.layers.get(path, [])
        if len(calls) != len(others):
            return False
        for one, other in zip(calls, others, strict=True):
            pairs = zip(one.first, other.first, strict=True)
            if not all(_equal(left, right) for left, right in pairs):
                return False
    return True


def _random_part(original: Original) -> str:
    """The first module whose outputs differ though its inputs do not."""
    first, second = _trail(original), _trail(original)
    inside: list[str] = []
    for (path, leaving, left), (_, _, right) in zip(first, second, strict=False):
        same = len(left) == len(right) and all(map(_equal, left, right))
        if not leaving:
            if not same:
                # Made between modules, in the code of the one that stands around this.
                around = _name(original, inside[-1] if inside else "")
                return f"what {around} gives to {path!r}"
            inside.append(path)
        else:
            if not same:
                return _name(original, path)
            inside.remove(path)
    return _name(original, "")


def _name(original: Original, path: str) -> str:
    kind = type(dict(original.module.named_modules())[path]).__name__
    return f"{path!r} ({kind})" if path else f"the forward of {kind}"


def _trail(original: Original) -> _Trail:
    trail: _Trail = []
    handles = []

    def watch(path: str, module: nn.Module) -> None:
        def entering(_: nn.Module, args: Any, kwargs: Any) -> None:
            trail.append((path, False, _tensors((args, kwargs))))

        def leaving(_: nn.Module, args: Any, output: Any) -> None:
            trail.append((path, True, _tensors(output)))

        handles.append(module.register_forward_pre_hook(entering, with_kwargs=True))
        handles.append(module.register_forward_hook(leaving))

    try:
        for path, module in original.module.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):  # which takes no hooks
                watch(path, module)
        original.run(original.signature.tensors())
    finally:
        for handle in handles:
            handle.remove()
    return trail


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [each.detach().clone() for each in flatten(tree, "").values()]


def _equal(left: torch.Tensor, right: torch.Tensor) -> bool:
    return left.shape == right.shape and difference(left, right).error == 0
