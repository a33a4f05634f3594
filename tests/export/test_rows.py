"""Rows of strangers share a run only where none of them, loud or quiet, moves another's answer."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import tests.export.cases.coupled as coupled
from carousel.export.errors import ExportError
from tests.harness.export_run import proven
from tests.harness.export_served import alone, attempt, whole

LOUDNESS = (1e-3, 0.5, 1.0, 30.0, 1e3)

COUPLED: dict[str, Callable[[], nn.Module]] = {
    "loudest of the batch": coupled.Coupled,
    "temperature": coupled.Temperature,
    "gate": coupled.Gate,
    "running max": coupled.RunningMax,
    "statistics": coupled.Statistics,
    "silence": coupled.Silence,
    "behind the layer": coupled.Behind,
}


def _example(rows: int = 4) -> torch.Tensor:
    """Below one everywhere, where every clamp holds."""
    return torch.rand(rows, 5, 6, generator=torch.Generator().manual_seed(1)) * 1.8 - 0.9


@pytest.mark.parametrize("rows", [4, 1])
@pytest.mark.parametrize("case", COUPLED)
def test_rows_that_hear_each_other_run_alone(case: str, rows: int) -> None:
    """Whatever the example's loudness: no batch, and each row right by itself, loud ones too."""
    torch.manual_seed(2)
    module = COUPLED[case]()
    made = attempt(module, (_example(rows),))
    if isinstance(made, ExportError):
        assert "row" in str(made)
        return
    assert not made.manifest.spec.has_batch
    assert made.manifest.spec.streaming == "none"  # a later loud frame moves the earlier ones
    assert any("one row at a time" in note for note in made.manifest.parity.skipped)
    for loudness in LOUDNESS:
        x = torch.randn(1, 7, 6) * loudness
        for kind in made.manifest.programs:
            torch.testing.assert_close(whole(made, kind, x), alone(module, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [coupled.OwnLoudness, coupled.OwnFrames])
def test_rows_that_mind_their_own_business_share_a_run(make: Callable[[], nn.Module]) -> None:
    """Loud and quiet ones side by side: nothing is lost by looking harder."""
    torch.manual_seed(2)
    module = make()
    made = proven(module, _example())
    spec = made.manifest.spec
    assert spec.has_batch
    assert spec.streaming == ("step" if make is coupled.OwnFrames else "none")
    x = torch.randn(5, 7, 6) * torch.tensor(LOUDNESS)[:, None, None]
    for kind in made.manifest.programs:
        torch.testing.assert_close(whole(made, kind, x), alone(module, x), atol=1e-5, rtol=1e-5)


def test_a_loud_stranger_moves_no_bit_of_a_plain_network() -> None:
    """A network without any such step stays batchable under the same looks."""
    torch.manual_seed(2)
    module = nn.LSTM(6, 8, 2, batch_first=True)
    made = proven(module, _example())
    assert (made.manifest.spec.has_batch, made.manifest.spec.streaming) == (True, "step")


class Careful(nn.Module):
    """Refuses what is louder than it knows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(6, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, 6) -> (B, T, 5)."""
        if x.abs().max() > 20:
            raise ValueError("the sensor ends at 20")
        found: torch.Tensor = self.layer(x)[0]
        return found


def test_neighbours_that_forward_refuses_are_told() -> None:
    """Nothing was compared beside them, and the report says so."""
    made = proven(Careful(), _example())
    assert made.manifest.spec.has_batch
    notes = [each for each in made.manifest.parity.skipped if "not compared with loud" in each]
    assert notes
    assert "the sensor ends at 20" in notes[0]
