"""What stands beside forward, or is empty, or is held by another name, is in no export's way."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.harness.export_run import proven, start
from tests.harness.export_served import whole


class Doubled(torch.autograd.Function):
    """Twice its input, with a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """Any shape."""
        ctx.save_for_backward(x)
        return 2 * x


doubled = Doubled.apply  # bound before any export, as scans of public libraries are


class Held(nn.Module):
    """Calls a function that it holds by another name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, 4)."""
        found: torch.Tensor = self.layer(doubled(x))[0]  # type: ignore[no-untyped-call]
        return found


class Exported(Held):
    """Has a method for scripts, which calls its layer as no trace can."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, 4)."""
        found: torch.Tensor = self.layer(x)[0]
        return found

    @torch.jit.export
    def infer(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """x (B, T, 4), h (1, B, 6)."""
        found: torch.Tensor = self.layer(x, h)[0]
        return found


class Optional(Held):
    """Takes a mask that nobody gives."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """x (B, T, 4), mask (B, T, 1)."""
        found: torch.Tensor = self.layer(x)[0]
        return found.cumsum(1) if mask is None else found * mask


@pytest.mark.parametrize("make", [Held, Exported, Optional])
def test_it_is_served_as_the_example_calls_it(make: type[nn.Module]) -> None:
    """Step by step what the whole module answers."""
    torch.manual_seed(3)
    module = make().eval()
    made = proven(module, torch.randn(2, 9, 4))
    assert made.manifest.spec.streaming == "step"
    x = torch.randn(3, 20, 4)
    for kind in made.manifest.programs:
        with torch.no_grad():
            found = whole(made, kind, x, states=start(made, 3))
            torch.testing.assert_close(found, module(x), atol=1e-5, rtol=1e-5)
