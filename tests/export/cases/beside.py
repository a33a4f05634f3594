"""States of forward's own code beside a layer or cell of torch's, met later than proofs reach."""

import torch
from torch import Tensor, nn


class Active(nn.Module):
    """A cell in a loop, quieter once more than 2,500 steps were active."""

    cell: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h, n = x.new_zeros(x.shape[0], 6), self.none(x)
        outs = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            n = self.more(n, x[:, t], h)
            outs.append(torch.where(n > 2500, h * 0.1, h))
        return torch.stack(outs, 1)

    def none(self, x: Tensor) -> Tensor:
        """Where it starts."""
        return torch.zeros(x.shape[0], 1, dtype=torch.int64)

    def more(self, n: Tensor, x: Tensor, h: Tensor) -> Tensor:
        """One more if active."""
        return n + (x[:, :1] > 0)


class ActiveFloats(Active):
    """The same in floats."""

    def none(self, x: Tensor) -> Tensor:
        """Where it starts."""
        return x.new_zeros(x.shape[0], 1)


class Worn(Active):
    """Wear, by how large the state was; its dtype is written down."""

    def none(self, x: Tensor) -> Tensor:
        """Where it starts."""
        return torch.zeros(x.shape[0], 1, dtype=torch.float32)

    def more(self, n: Tensor, x: Tensor, h: Tensor) -> Tensor:
        """More by all."""
        return n + (x[:, :1] > 0) * (1 + h.abs().sum(-1, keepdim=True) * 1e-3)


class WornByHand(Worn):
    """The same without a cell of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Identity()
        self.inside, self.again = nn.Linear(4, 6), nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h, n = x.new_zeros(x.shape[0], 6), self.none(x)
        outs = []
        for t in range(x.shape[1]):
            h = torch.tanh(self.inside(x[:, t]) + self.again(h))
            n = self.more(n, x[:, t], h)
            outs.append(torch.where(n > 2500, h * 0.1, h))
        return torch.stack(outs, 1)


class ActiveLayer(nn.Module):
    """Counted along time, beside a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        n, y = (x[..., :1] > 0).long().cumsum(1), self.layer(x)[0]
        return torch.where(n > 700, y * 0.1, y)


class Held(nn.Module):
    """A cell whose state stays where a step says so: no state beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h = c = x.new_zeros(x.shape[0], 6)
        outs = []
        for t in range(x.shape[1]):
            new_h, new_c = self.cell(x[:, t], (h, c))
            runs = x[:, t, :1] > -1
            h, c = torch.where(runs, new_h, h), torch.where(runs, new_c, c)
            outs.append(h)
        return torch.stack(outs, 1)
