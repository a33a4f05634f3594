"""Modules that decide beyond what an example shows: by lengths, by loudness, by special values."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Around(nn.Module):
    """A GRU with something of the caller's around it."""

    def __init__(self, run: Callable[[nn.Module, Tensor], Tensor], features: int = 4) -> None:
        super().__init__()
        self.layer = nn.GRU(features, 6, batch_first=True)
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, F)."""
        return self.run(self.layer, x)


def halves(layer: nn.Module, x: Tensor) -> Tensor:
    """Of long sequences every second step."""
    if x.shape[1] > 200:
        x = x[:, ::2]
    found: Tensor = layer(x)[0].mean(1)
    return found


def cut(layer: nn.Module, x: Tensor) -> Tensor:
    """Of long sequences the beginning."""
    if x.shape[1] > 500:
        x = x[:, :500]
    found: Tensor = layer(x)[0]
    return found


def far(layer: nn.Module, x: Tensor) -> Tensor:
    """Each step beside the one of 300 steps before."""
    found: Tensor = layer(x + F.pad(x, (0, 0, 300, 0))[:, : x.shape[1]])[0]
    return found


def at_last_word(layer: nn.Module, x: Tensor) -> Tensor:
    """What stands at the last step that is not all -1."""
    last = (x != -1).any(-1).sum(1).clamp(min=1) - 1
    found: Tensor = layer(x)[0]
    return found[torch.arange(x.shape[0]), last]


def filled(layer: nn.Module, x: Tensor) -> Tensor:
    """What is no number is what it was last, of a table of steps."""
    steps = torch.arange(x.shape[1])[None, :, None]
    kept = torch.where(x.isnan(), 0, steps).amax(1, keepdim=True).clamp(max=0)
    found: Tensor = layer(torch.where(x.isnan(), x.nan_to_num().gather(1, kept), x))[0]
    return found


def by_the_loudest(layer: nn.Module, x: Tensor, least: float) -> Tensor:
    """All rows by the loudest of them, once it is loud."""
    found: Tensor = layer(x / x.abs().max().clamp(min=least))[0]
    return found


def one_hot(layer: nn.Module, x: Tensor) -> Tensor:
    """Seven classes."""
    found: Tensor = layer(F.one_hot(x, 7).float())[0]
    return found


class Segments(nn.Module):
    """Words, and whether the word 102 has been."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.parts = nn.Embedding(3000, 4), nn.Embedding(2, 4)
        self.layer = nn.GRU(4, 6, batch_first=True)

    def forward(self, words: Tensor) -> Tensor:
        """words (B, T)."""
        parts = torch.cumsum((words == 102).long(), 1).clamp(max=1)
        found: Tensor = self.layer(self.words(words) + self.parts(parts))[0]
        return found


class Resets(nn.Module):
    """A cell that starts anew every so many steps."""

    def __init__(self, every: int) -> None:
        super().__init__()
        self.cell, self.every = nn.GRUCell(4, 6), every

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h, found = x.new_zeros(x.shape[0], 6), []
        for step in range(x.shape[1]):
            if step and step % self.every == 0:
                h = torch.zeros_like(h)
            h = self.cell(x[:, step], h)
            found.append(h)
        return torch.stack(found, 1)


class Believes(nn.Module):
    """A state of two tensors in a dict, one of them named as its output is, another beside."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRUCell(6, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """x (B, 2)."""
        deter = self.cell(torch.cat([x, state["stoch"]], -1), state["deter"])
        mean, spread = self.head(deter).chunk(2, -1)
        return {"stoch": mean, "deter": deter, "std": F.softplus(spread)}
