"""Whatever an export makes of a module, and however it ends, the module is left as it was."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

import pytest
import torch
from torch import nn

import tests.export.cases.answers as answers
import tests.export.cases.calls as calls
import tests.export.cases.coupled as coupled
import tests.export.cases.loops as loops
import tests.export.cases.memories as memories
import tests.export.cases.raisers as raisers
import tests.export.cases.rounding as rounding
import tests.export.cases.unseen as unseen
import tests.export.cases.windows as windows
from carousel.export.errors import ExportError
from tests.export.cases.intact import bit_equal
from tests.harness.export_run import proven_by

X = torch.rand(4, 5, 6, generator=torch.Generator().manual_seed(1)) * 2 - 1
GAIN = torch.ones(4, 1)
ZERO = torch.zeros(4, 8)
FULL = torch.full((4,), 5)

ENDS: dict[str, tuple[Callable[[], nn.Module], object]] = {
    "window": (windows.Flattens, (torch.randn(4, 10, 3),)),
    "pictures": (windows.Pictures, (torch.randn(4, 1, 8, 16),)),
    "cells over a window": (windows.CellsOverWindow, (torch.randn(4, 30),)),
    "dataclass": (unseen.Reads, (unseen.Features(X, GAIN),)),
    "closure": (unseen.Applies, (X, unseen.Vault(GAIN[..., None]))),
    "iterator": (unseen.Consumes, (X, iter([GAIN]))),
    "ignored memory": (memories.Ignored, (torch.randn(4), torch.zeros(8))),
    "policy": (memories.Policy, (X[:, 0], ZERO, GAIN)),
    "states alone": (memories.StatesOnly, (X[:, 0], ZERO, ZERO)),
    "distribution": (lambda: answers.Answers("normal"), (X,)),
    "string": (lambda: answers.Answers("string"), (X,)),
    "pooled": (answers.PoolsByTwo, (X,)),
    "coupled": (coupled.Coupled, (X,)),
    "running max": (coupled.RunningMax, (X,)),
    "steep": (rounding.Sine, (X,)),
    "only float": (rounding.OnlyFloat, (X,)),
    "loop": (loops.Cfc, (X,)),
    "two loops": (loops.TwoLiGru, (X,)),
    "attached": (raisers.AttachedInside, (X,)),
    "lengths": (raisers.GathersLongest, (X, FULL)),
    "masks": (raisers.Masks, (X, FULL)),
    "always raises": (lambda: raisers.Raises("Odd", "always"), (X,)),
    "raises at others": (lambda: raisers.Raises("KeyError", "other lengths"), (X,)),
    "rounds": (calls.Quantises, (X,)),
    "scan": (calls.Scans, (X, ZERO)),
    "scripts": (calls.Scripted, (X,)),
    "keywords": (calls.ByKeywords, {"x": X, "gain": GAIN}),
}


@pytest.mark.parametrize("case", ENDS)
def test_all_is_left_as_it_was(case: str) -> None:
    """Served or refused: the module's weights, buffers, flags, attributes and hooks, the caller's
    tensors, and the random generators, so that training goes on as if nothing had been.
    """
    make, example = ENDS[case]
    torch.manual_seed(6)
    module = make()
    flags = [index % 2 == 0 for index, _ in enumerate(module.modules())]
    for each, training in zip(module.modules(), flags, strict=True):
        each.training = training
    tensors = _tensors(example)
    before = [each.clone() for each in tensors]
    generator = torch.get_rng_state()
    with bit_equal(module), suppress(ExportError):
        proven_by(module, example)
    assert [each.training for each in module.modules()] == flags
    assert all(map(torch.equal, tensors, before))
    assert torch.equal(torch.get_rng_state(), generator)


def _tensors(example: object) -> list[torch.Tensor]:
    given = example.values() if isinstance(example, Mapping) else example
    assert isinstance(given, Iterable)
    return [each for each in list(given) if isinstance(each, torch.Tensor)]
