"""The user's module comes back bit-equal: weights, buffers, flags, attributes, hooks."""

from contextlib import suppress

import pytest
import torch
from torch import nn

import tests.export.cases.heads as heads
import tests.export.cases.models as zoo
import tests.export.cases.traps as traps
from carousel.export.errors import ExportRefused
from tests.export.cases.intact import bit_equal
from tests.harness.export_run import proven

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1))


class Assorted(heads.LastStep):
    """A bit of everything that an export could disturb."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.notes: list[str] = ["kept"]
        self.seen: torch.Tensor | None = None
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.notes.append("called")
        self.seen = x
        return super().forward(self.drop(self.norm(x.transpose(1, 2)).transpose(1, 2)))


@pytest.mark.parametrize(
    "make",
    [
        *(Assorted, zoo.Explicit, zoo.CellLoop, zoo.AttributeState, zoo.LearnedStart),
        *(traps.Uncopyable, traps.BufferCache, traps.LeakyAttribute, traps.RandomStart),
        *(traps.AroundHooks, traps.NotFinite, traps.BackwardLoop),
    ],
)
def test_a_module_is_left_bit_equal_whether_exported_or_refused(make: type[nn.Module]) -> None:
    """Every weight, buffer, attribute, list, flag and hook is what it was, and who it was."""
    module = make()
    for index, each in enumerate(module.modules()):
        each.training = index % 2 == 0
    with bit_equal(module), suppress(ExportRefused):
        proven(module, X)


def test_lists_in_attributes_keep_their_contents() -> None:
    """What forward appends while it is measured is taken out again."""
    module = Assorted()
    notes = module.notes
    proven(module, X)
    assert module.notes is notes
    assert (notes, module.calls) == (["kept"], 0)


def test_a_refusal_in_the_middle_removes_the_hooks() -> None:
    """An original that fails at some sizes leaves no hook behind."""
    module = traps.FixedLength()
    with bit_equal(module):
        proven(module, X)


def test_the_random_generator_stands_where_it_stood() -> None:
    """An export in a training script does not change what comes after."""
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    proven(Assorted(), X)  # the module itself draws its weights
    torch.manual_seed(7)
    module = Assorted()
    torch.manual_seed(7)
    proven(module, X)
    assert torch.equal(torch.rand(3), expected)


def test_torch_has_as_many_threads_as_before() -> None:
    """The one thread of an export is given back, refused or not."""
    torch.set_num_threads(2)
    try:
        with suppress(ExportRefused):
            proven(traps.RandomStart(), X)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_training_goes_on_after_an_export() -> None:
    """Gradients are as they were and flow again."""
    module = Assorted()
    module(X).sum().backward()
    weight = module.fc.weight
    assert weight.grad is not None
    gradient = weight.grad.clone()
    proven(module, X)
    assert torch.equal(weight.grad, gradient)
    module(X).sum().backward()
    assert not torch.equal(weight.grad, gradient)


def test_wrappers_are_taken_off() -> None:
    """torch.compile and DataParallel are looked through; names and state_id are the module's."""
    torch.manual_seed(4)
    module = heads.LastStep()
    plain = proven(module, X).manifest
    assert proven(nn.DataParallel(module), X).manifest.state_id == plain.state_id
    compiled = torch.compile(module, backend="eager")
    assert isinstance(compiled, nn.Module)
    assert proven(compiled, X).manifest.state_id == plain.state_id


def test_a_part_that_was_compiled_runs_eagerly() -> None:
    """A compiled layer inside is watched and lifted as any other."""
    module = heads.LastStep()
    module.lstm.compile(backend="eager")
    assert [each.name for each in proven(module, X).manifest.spec.states] == ["h", "c"]
