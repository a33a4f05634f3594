"""What no draw shows is in the programs all the same: events that neither example nor proof has."""

import pytest
import torch
from torch import Tensor, nn

from carousel.export.artifact.record import Proven
from carousel.export.measured.otherwise import WAYS, Otherwise
from tests.export.cases import seldom
from tests.export.cases.upheld import upheld

_STEPS = 14


def _normal(batch: int, *sizes: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, *sizes, generator=torch.Generator().manual_seed(seed))


def _ids(seed: int, low: int, high: int, steps: int) -> Tensor:
    return torch.randint(low, high, (2, steps), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", [seldom.Detector, seldom.DetectorByMul])
def test_a_cell_that_starts_anew_after_what_it_found(kind: type[nn.Module]) -> None:
    """The new value of its state is what it starts from, not what the cell has left."""
    torch.manual_seed(0)
    x = _normal(2, _STEPS, 8, seed=1)
    x[:, 2:] = seldom.WORD + 0.05 * x[:, 2:]
    module = kind()
    assert float(module(x)[..., 3].detach().sum()) > 1, "it fires"
    made = upheld(module, (_normal(2, 9, 8),), x)
    assert isinstance(made, Proven)
    assert made.manifest.spec.streaming == "step"


@pytest.mark.parametrize("kind", [seldom.Joint, seldom.JointHeld])
def test_two_readings_at_once(kind: type[nn.Module]) -> None:
    """What stands in for a step is a state, though no step of a proof has both."""
    torch.manual_seed(0)
    made = upheld(kind(), (_normal(2, 9, 4),), _with_event())
    assert isinstance(made, Proven)
    assert made.manifest.spec.streaming == "step"
    assert len(made.manifest.spec.states) > 1


@pytest.mark.parametrize("kind", [seldom.JointAround, seldom.Checked])
def test_an_event_that_counts_before_it_comes_is_no_stream(kind: type[nn.Module]) -> None:
    """The steps before it would have to wait; a check of the inputs is no reason not to look."""
    torch.manual_seed(0)
    made = upheld(kind(), (_normal(2, 9, 4),), _with_event())
    assert made is None or made.manifest.spec.streaming == "none"


def test_a_bit_that_no_example_has() -> None:
    """It stands beside others, so that no number that forward compares with is of use."""
    torch.manual_seed(0)
    status = _ids(3, 0, 16, _STEPS)
    status[:, 3:5] |= 64
    example = _normal(2, 9, 4), _ids(4, 0, 16, 9)
    made = upheld(seldom.Bit(), example, _normal(2, _STEPS, 4, seed=1), status)
    assert isinstance(made, Proven)
    assert len(made.manifest.spec.states) > 1


@pytest.mark.parametrize("gate", ["relu", "kernel", "rounded", "largest"])
def test_a_gate_that_is_shut_for_all_that_is_drawn(gate: str) -> None:
    """It opens for what it was made for, and then what stood before is a state."""
    torch.manual_seed(0)
    x = 0.3 * _normal(2, _STEPS, 4, seed=1) + torch.tensor([-1.0, 1.0, -1.0, 1.0])
    x[:, 5] = 9 * torch.nn.functional.normalize(seldom.KEY, dim=0) + 0.01
    example = 0.3 * _normal(2, 9, 4) + torch.tensor([-1.0, 1.0, -1.0, 1.0])
    made = upheld(seldom.Gated(gate), (example,), x)
    assert isinstance(made, Proven)
    assert len(made.manifest.spec.states) > 1


def test_two_ids_at_once() -> None:
    """Out of thousands of pairs one starts anew."""
    torch.manual_seed(0)
    action, place = _ids(1, 10, 20, _STEPS), _ids(2, 10, 20, _STEPS)
    action[:, 2], place[:, 2] = 7, 3
    made = upheld(seldom.TwoIds(), (_ids(3, 10, 20, 9), _ids(4, 10, 20, 9)), action, place)
    assert isinstance(made, Proven)


def test_codes_of_a_table_that_no_example_has() -> None:
    """Any that the table holds may come."""
    torch.manual_seed(0)
    code = _ids(1, 0, 8, _STEPS)
    code[:, 3:5] = 21
    example = _normal(2, 9, 4), _ids(2, 0, 8, 9)
    upheld(seldom.Quality(), example, _normal(2, _STEPS, 4, seed=1), code)


def test_what_compares_what_every_example_has_streams() -> None:
    """As it did."""
    torch.manual_seed(0)
    made = upheld(seldom.Clean(), (_normal(2, 9, 4),), _normal(2, _STEPS, 4, seed=1))
    assert isinstance(made, Proven)
    assert made.manifest.spec.streaming == "step"


def test_comparisons_come_out_otherwise_by_their_values_alone() -> None:
    """So that a step decides as the whole does, whatever stands beside it."""
    x = _normal(3, 40, 4)
    chosen = []
    for way in range(WAYS):
        with Otherwise(way):
            whole = x > 9
            pieces = torch.stack([each > 9 for each in x.unbind(1)], 1)
        assert torch.equal(whole, pieces)
        chosen.append(float(whole.float().mean()))
    assert all(0 < each < 1 for each in chosen)


def test_lengths_are_compared_as_ever() -> None:
    """A step is one of one, and the whole one of many."""
    lengths = torch.tensor([3, 5])
    with Otherwise(0, [lengths]):
        found = torch.arange(6)[None] < lengths[:, None]
    assert found.sum(1).tolist() == [3, 5]


def _with_event() -> Tensor:
    x = _normal(2, _STEPS, 4, seed=1)
    x[:, 4:6, 0], x[:, 4:6, 1] = -9, 9
    return x
