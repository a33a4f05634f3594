"""Modules that take an integer beside a sequence, of which an example shows one value."""

import torch
from torch import Tensor, nn


class Every(nn.Module):
    """Runs its cell at every k-th step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        """x (B, T, 4), k (B,)."""
        h, outs = x.new_zeros(x.shape[0], 6), []
        for t in range(x.shape[1]):
            h = torch.where(self.runs(t, k)[:, None], self.cell(x[:, t], h), h * 0.5)
            outs.append(h)
        return torch.stack(outs, 1)

    def runs(self, t: int, k: Tensor) -> Tensor:
        """Which rows run."""
        return t % k == 0


class Quota(Every):
    """Runs it for so many steps."""

    def runs(self, t: int, k: Tensor) -> Tensor:
        """Which rows run."""
        return t < k


class Mode(nn.Module):
    """Mode 2 answers backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        """x (B, T, 4), k (B,)."""
        y: Tensor = self.layer(x)[0]
        return torch.where((k == 2)[:, None, None], y.flip(1), y)


class Gain(Mode):
    """A mode that changes nothing but the size of the answers."""

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        """x (B, T, 4), k (B,)."""
        y: Tensor = self.layer(x)[0]
        return torch.where((k == 2)[:, None, None], y * 2, y)
