"""Modules that begin anew at step 4,500, a number that their code computes from others."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from tests.export.cases.numbers import Cell

HOUR = 3600


class Minutes(Cell):
    """Of numbers that a module holds and code says."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """After minutes of seconds."""
        return h * 0 if t == self.held * 60 else h


class Configured(Cell):
    """Of a configuration, and in two lines."""

    held: Any

    def after(self, h: Tensor, t: int) -> Tensor:
        """After hours at a rate."""
        every = int(self.held.hours * HOUR)
        return h * 0 if t and t % (every // self.held.seconds) == 0 else h


class Days(Cell):
    """Of a property."""

    @property
    def end(self) -> int:
        """In hours."""
        hours: int = self.held * 30 * 15
        return hours

    def after(self, h: Tensor, t: int) -> Tensor:
        """At the end."""
        return h * 0 if t == self.end else h


class Long(Cell):
    """Of the size of what is held."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """At its end."""
        return h * 0 if t == len(self.held) else h


class Power(Cell):
    """Of a power."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """After it."""
        return h if t < 10**self.held // 25 + 500 else h * 0


class Rate(Cell):
    """Of a fraction."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Once in some seconds at a sampling rate."""
        return h * 0 if t and t % math.ceil(self.held * 0.28125) == 0 else h


class Clock(Cell):
    """Of a clock that goes on by a part of a second each step."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h, now, outs = x.new_zeros(x.shape[0], 6), 0.0, list[Tensor]()
        for t in range(x.shape[1]):
            now += 0.01
            h = self.cell(x[:, t], h)
            outs.append(h * 0 if now > self.held else h)
        return torch.stack(outs, 1)


COMPUTED: dict[str, Callable[[], nn.Module]] = {
    "product": lambda: Minutes(75),
    "configuration": lambda: Configured(SimpleNamespace(hours=6.25, seconds=5)),
    "property": lambda: Days(10),
    "size": lambda: Long("a" * 4500),
    "power": lambda: Power(5),
    "fraction": lambda: Rate(16_000),
    "clock": lambda: Clock(45),
}
