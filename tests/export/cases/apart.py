"""Forwards whose states lie in another order than their rows."""

import torch
from torch import Tensor, nn


class Both(nn.Module):
    """A sequence and its opposite through one layer, behind each other in the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        one, other = self.layer(torch.cat([x, -x]))[0].chunk(2)
        found: Tensor = one + 0.5 * other
        return found


class Beside(Both):
    """The same side by side."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        found: Tensor = self.layer(torch.stack([x, -x], 1).flatten(0, 1))[0]
        return found[0::2] + 0.5 * found[1::2]


class Flipped(Both):
    """The last row first."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        found: Tensor = self.layer(x.flip(0))[0].flip(0)
        return found


class Sorted(Both):
    """By what belongs to each row, and put back."""

    def forward(self, x: Tensor, age: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, T, 4), age (B,)."""
        order = age.argsort()
        found: Tensor = self.layer(x[order])[0][order.argsort()]
        return found
