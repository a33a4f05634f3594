"""Frames with states that come back as they were given: a delay line, and what an event changes."""

import torch
from torch import Tensor, nn


class Taps(nn.Module):
    """The two readings before are handed on."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(12, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor, h: Tensor, before: Tensor, earlier: Tensor) -> tuple[Tensor, ...]:
        """x (B, 4), h (B, 6), before (B, 4), earlier (B, 4)."""
        h = self.cell(torch.cat([x, before, earlier], 1), h)
        return self.head(h), h, x, before


class Biquad(nn.Module):
    """A filter of second order, whose answer is a state too."""

    def forward(
        self, x: Tensor, x1: Tensor, x2: Tensor, y1: Tensor, y2: Tensor
    ) -> tuple[Tensor, ...]:
        """All (B, 4)."""
        y = 0.2 * x + 0.3 * x1 + 0.1 * x2 + 0.5 * y1 - 0.2 * y2
        return y, x, x1, y, y1


class Dilated(nn.Module):
    """A cell that goes on from two frames ago."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)
        self.second = nn.GRUCell(6, 6)
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor, older: Tensor, newer: Tensor) -> tuple[Tensor, ...]:
        """x (B, 4), the states (B, 6)."""
        new = self.cell(x, older)
        return self.head(new), newer, new


class DilatedLstm(nn.Module):
    """The same with two tensors each."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(4, 6)
        self.head = nn.Linear(6, 2)

    def forward(
        self, x: Tensor, older: tuple[Tensor, Tensor], newer: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """x (B, 4), the states (B, 6)."""
        new = self.cell(x, older)
        return self.head(new[0]), newer, new


class Added(Dilated):
    """The answer is as large as the states."""

    def forward(self, x: Tensor, older: Tensor, newer: Tensor) -> tuple[Tensor, ...]:
        """x (B, 4), the states (B, 6)."""
        new = self.cell(x, older)
        return new + newer, newer, new


class Held(Dilated):
    """What is remembered changes when the first reading is high, and the example has none."""

    def forward(self, x: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, ...]:
        """x (B, 4), the states (B, 6)."""
        h = self.cell(x, h)
        memory = torch.where(x[:, :1] > 4, h, memory)
        return h + memory, h, memory


class Counts(Dilated):
    """The same as a count, in whole numbers."""

    def forward(self, x: Tensor, h: Tensor, n: Tensor) -> tuple[Tensor, ...]:
        """x (B, 4), h (B, 6), n (B,)."""
        h = self.cell(x, h)
        n = n + (x[:, 0] > 4)
        return self.head(h) * (n[:, None] + 1), h, n


class Latched(Dilated):
    """The same as a switch."""

    def forward(self, x: Tensor, h: Tensor, on: Tensor) -> tuple[Tensor, ...]:
        """x (B, 4), h (B, 6), on (B,)."""
        h = self.cell(x, h)
        on = on | (x[:, 0] > 4)
        return self.head(h) * on[:, None], h, on


class Passed(Dilated):
    """A condition that is given with every frame, and returned as it came."""

    def forward(self, x: Tensor, h: Tensor, wish: Tensor) -> tuple[Tensor, ...]:
        """x (B, 4), h (B, 6), wish (B, 6)."""
        h = self.second(self.head.weight.sum(0) * wish, self.cell(x, h))
        return self.head(h), h, wish
