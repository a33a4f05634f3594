"""Modules that measure in raw units, by buffers and weights; what is rare is far above a sample."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Beside = Callable[["Measured", Tensor], Tensor]


class Measured(nn.Module):
    """A GRU of what is sent, and beside it what was rare so far."""

    limit: Tensor
    mean: Tensor

    def __init__(self, beside: Beside) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)
        self.register_buffer("limit", torch.tensor(1000.0))
        self.register_buffer("mean", torch.full((4,), 900.0))
        self.scale = nn.Parameter(torch.tensor(150.0))
        self.beside = beside

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        return torch.cat([self.layer(x / 100)[0], self.beside(self, x)], -1)

    def normal(self, x: Tensor) -> Tensor:
        """In deviations from the mean."""
        return (x - self.mean) / self.scale


def latched(module: Measured, x: Tensor) -> Tensor:
    """Whether anything has been above the limit."""
    return (x > module.limit).any(-1, True).float().cummax(1).values


def excess(module: Measured, x: Tensor) -> Tensor:
    """How much there has been above a number."""
    return F.relu(x - 1000.0).sum(-1, True).cumsum(1)


def thousands(module: Measured, x: Tensor) -> Tensor:
    """How many thousands there have been."""
    return (x.clamp(min=0) / 1000).floor().sum(-1, True).cumsum(1)


def unusual(module: Measured, x: Tensor) -> Tensor:
    """Whether anything has been three deviations above the mean."""
    return (module.normal(x) > 3).any(-1, True).float().cummax(1).values


def deviations(module: Measured, x: Tensor) -> Tensor:
    """How far above the mean it has been."""
    return F.relu(module.normal(x)).sum(-1, True).cumsum(1)


def beside_the_others(module: Measured, x: Tensor) -> Tensor:
    """What is above the mean beside what all rows have above it."""
    above = F.relu(module.normal(x))
    return above / (1 + above.mean(0, True))


class Cut(nn.Module):
    """Of a long sequence the beginning, by a slice."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.layer, self.steps = nn.GRU(4, 6, batch_first=True), steps

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        found: Tensor = self.layer(x[:, : self.steps])[0]
        return found[:, -1]


class Averages(nn.Module):
    """Two averages of one shape, a quick and a slow one."""

    def forward(self, x: Tensor, fast: Tensor, slow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """All (B, 4)."""
        fast = 0.5 * fast + 0.5 * x
        slow = 0.9 * slow + 0.1 * x
        return fast - slow, fast, slow


class Shortcut(nn.Module):
    """Answers short sequences without its layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        if x.shape[1] < 4:
            return x.new_zeros(x.shape[0], x.shape[1], 6)
        found: Tensor = self.layer(x)[0]
        return found


class Debounce(nn.Module):
    """Counts how long it has been loud, in integers; and a bool that is held in between."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 4)."""
        count = torch.zeros(x.shape[0], dtype=torch.long)
        held = torch.zeros(x.shape[0], dtype=torch.bool)
        counts, holds = [], []
        for step in x.unbind(1):
            count = torch.where(step.mean(-1) > 0, count + 1, torch.zeros_like(count))
            fallen = torch.where(step.amin(-1) < -1.5, False, held)
            held = torch.where(step.amax(-1) > 1.5, True, fallen)
            counts.append(count)
            holds.append(held)
        return torch.stack(counts, 1), torch.stack(holds, 1)


class Cache(nn.Module):
    """Attends to its last steps, whose keys and values are handed on."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor, k_cache: Tensor, v_cache: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, 1, 8), caches (B, 5, 8)."""
        keys = torch.cat([k_cache[:, 1:], self.k(x)], 1)
        values = torch.cat([v_cache[:, 1:], self.v(x)], 1)
        weights = (self.q(x) @ keys.transpose(1, 2)).softmax(-1)
        return weights @ values, keys, values


class LooksAround(nn.Module):
    """A convolution over the step before and the one after, then a GRU whose state is given."""

    def __init__(self) -> None:
        super().__init__()
        self.around, self.layer = nn.Conv1d(4, 4, 3, padding=1), nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, 4), h (1, B, 6)."""
        found: tuple[Tensor, Tensor] = self.layer(self.around(x.mT).mT, h)
        return found


class Neighbours(nn.Module):
    """A cell whose memory has a neighbour of its shape, which is handed on too."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.mix = nn.GRUCell(4, 6), nn.Linear(4, 6)

    def forward(self, x: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, 4), the others (B, 6)."""
        kept = self.cell(x, h + memory)
        return kept.sum(-1), kept, 0.9 * memory + 0.1 * torch.tanh(self.mix(x))


class Scaled(nn.Module):
    """Samples of any kind, measured by a number, and one compared with it."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.layer, self.number = nn.GRU(4, 6, batch_first=True), number

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        scaled = (x.float() - self.number).clamp(-1, 1) / self.number
        found: Tensor = self.layer(torch.where(x.float() == self.number, 1.0, scaled))[0]
        return found
