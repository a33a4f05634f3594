"""Modules that answer a whole sequence once, and by then have forgotten most of what was late."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Last(nn.Module):
    """A cell in a loop and its last state; `after` says what else it does at a step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRUCell(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4) to (B, 3)."""
        h = x.new_zeros(x.shape[0], 6)
        for t in range(x.shape[1]):
            h = self.after(t, self.cell(x[:, t], h))
        found: Tensor = self.out(h)
        return found

    def after(self, t: int, h: Tensor) -> Tensor:
        """The state that goes on."""
        return h


class At150(Last):
    """Begins anew once."""

    def after(self, t: int, h: Tensor) -> Tensor:
        """Nothing is left."""
        return h * 0 if t == 150 else h


class Every1500(Last):
    """Begins anew at times."""

    def after(self, t: int, h: Tensor) -> Tensor:
        """Nothing is left."""
        return h * 0 if t and t % 1500 == 0 else h


class AtProduct(Last):
    """The same, by a number that stands nowhere."""

    def after(self, t: int, h: Tensor) -> Tensor:
        """Nothing is left."""
        return h * 0 if t == 17 * 19 else h


class Layer(nn.Module):
    """A layer over what `before` makes of a sequence, and its last answer."""

    def __init__(self, before: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layer, self.out = nn.GRU(4, 6, batch_first=True), nn.Linear(6, 3)
        self.before = before

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4) to (B, 3)."""
        found: Tensor = self.out(self.layer(self.before(x))[0][:, -1])
        return found


def gap(x: Tensor) -> Tensor:
    """Without some steps."""
    weight = torch.ones(x.shape[1])
    weight[140:152] = 0
    return x * weight[None, :, None]


def gap_of_long(x: Tensor) -> Tensor:
    """The same of long ones only."""
    return gap(x) if x.shape[1] > 151 else x


class Blocks(Layer):
    """Reads the block of 1,500 steps that is not full yet."""

    def __init__(self) -> None:
        super().__init__(lambda x: x)
        self.warm = 1530

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4) to (B, 3)."""
        left = x.shape[1] % 1500 or 1500
        return x if self.warm < 0 else super().forward(x[:, -left:])


class Between(nn.Module):
    """A layer whose answers are twice as large for sequences of some lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4) to (B, T, 6)."""
        found: Tensor = self.layer(x)[0]
        return found * 2 if 150 <= x.shape[1] < 160 else found
