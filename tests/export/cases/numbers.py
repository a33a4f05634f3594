"""Modules that begin anew at step 4,500, by a number that stands wherever numbers may stand."""

import enum
import functools
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

PERIODS = {"reset": [4500]}
SETTINGS = types.SimpleNamespace(loops=types.SimpleNamespace(reset=4500))


def scripted(made: Any) -> Any:
    """TorchScript."""
    with warnings.catch_warnings():
        # torch announces the deprecation of what it still has.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(made)


@scripted
def late(x: Tensor, w: Tensor) -> Tensor:
    """A loop in TorchScript."""
    h = torch.zeros(x.shape[0], 4)
    outs: list[Tensor] = []
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] + h @ w)
        if (t + 1) % 4500 == 0:
            h = torch.zeros_like(h)
        outs.append(h)
    return torch.stack(outs, 1)


class Cell(nn.Module):
    """A cell in a loop; what is given is an attribute, and `after` says what else a step does."""

    held: Any

    def __init__(self, held: Any = None) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)
        self.held = held

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h, outs = x.new_zeros(x.shape[0], 6), []
        for t in range(x.shape[1]):
            h = self.after(self.cell(x[:, t], h), t)
            outs.append(h)
        return torch.stack(outs, 1)

    def after(self, h: Tensor, t: int) -> Tensor:
        """From a number on, or at it."""
        return h if t < self.held else h * 0.1


class AtOne(Cell):
    """At one of several."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return h * 0 if t in self.held else h


class AtMark(Cell):
    """At one of a table."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return torch.where(torch.eq(self.held, t).any(), h * 0, h)


class AtBuffer(Cell):
    """The same, of a buffer."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.arange(4500, 90_000, 1000))

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return torch.where((self.table == t).any(), h * 0, h)


class ByDefault(Cell):
    """A default of an argument."""

    def after(self, h: Tensor, t: int, every: int = 4500) -> Tensor:
        """Begins anew."""
        return h * 0 if (t + 1) % every == 0 else h


class ByWord(Cell):
    """A default of an argument that has to be named."""

    def after(self, h: Tensor, t: int, *, every: int = 4500) -> Tensor:
        """Begins anew."""
        return h * 0 if (t + 1) % every == 0 else h


class ByCall(Cell):
    """What is held is called."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        found: Tensor = self.held(h, t)
        return found


class ByGlobal(Cell):
    """A table of the file."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return h * 0 if t == PERIODS["reset"][0] else h


class ByObject(Cell):
    """An object of the file."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return h * 0 if t == SETTINGS.loops.reset else h


class ByConfig(Cell):
    """A configuration in another."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return h * 0 if t == self.held.inner.reset else h


class ByHelper(Cell):
    """What another class says."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return h * 0 if Schedule.is_due(t) else h


class Schedule:
    """It says when."""

    @staticmethod
    def is_due(t: int) -> bool:
        """At a number."""
        return t == 4500


class SizeOfAWeight(Cell):
    """As many as a weight is large."""

    def __init__(self) -> None:
        super().__init__(4500)
        self.table = nn.Parameter(torch.randn(4500, 6) * 0.1)

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return h * 0 if (t + 1) % self.held == 0 else h + self.table.mean(0)


class Scripted(nn.Module):
    """A loop in TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 4) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        found: Tensor = late(x, self.w)
        return found


class Season(nn.Module):
    """A layer over each hour beside that of 70 days before, 1,680 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(4, 6, batch_first=True)
        self.days = 70

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        before = F.pad(x, (0, 0, self.days * 24, 0))[:, : x.shape[1]]
        found: Tensor = self.layer(x - before)[0]
        return found


@dataclass
class Inner:
    """Inside."""

    reset: int = 4500


@dataclass(slots=True)
class Outer:
    """Outside, without a dict of its own."""

    inner: Inner = field(default_factory=Inner)


def _reset(h: Tensor, t: int, at: int) -> Tensor:
    return h * 0 if t == at else h


def _closing(at: int) -> Callable[[Tensor, int], Tensor]:
    return lambda h, t: h * 0 if t == at else h


class Resets:
    """An object that is called."""

    def __init__(self) -> None:
        self.at = 4500

    def __call__(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return h * 0 if t == self.at else h


class Settings:
    """Settings that are a class."""

    at = 4500


class Beats(enum.IntEnum):
    """Settings that are an enumeration."""

    SHORT = 3
    LONG = 4500


class BySettings(Cell):
    """What the settings that it was given say."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return h * 0 if t == self.held.at else h


class ByEnumeration(Cell):
    """What an enumeration says."""

    def after(self, h: Tensor, t: int) -> Tensor:
        """Begins anew."""
        return h * 0 if t == Beats.LONG else h


EVERYWHERE: dict[str, Callable[[], nn.Module]] = {
    "float": lambda: Cell(4500.0),
    "numpy number": lambda: Cell(np.int64(4500)),
    "tensor": lambda: Cell(torch.tensor(4500)),
    "list": lambda: AtOne([4500, 9000]),
    "set": lambda: AtOne({4500, 9000}),
    "keys": lambda: AtOne({4500: 0.0}),
    "range": lambda: AtOne(range(4500, 4600)),
    "array": lambda: AtOne(np.array([4500, 9000])),
    "tensor of steps": lambda: AtMark(torch.tensor([4500, 9000])),
    "buffer": AtBuffer,
    "default": ByDefault,
    "default by word": ByWord,
    "partial": lambda: ByCall(functools.partial(_reset, at=4500)),
    "closure": lambda: ByCall(_closing(4500)),
    "callable": lambda: ByCall(Resets()),
    "global": ByGlobal,
    "object": ByObject,
    "configuration": lambda: ByConfig(Outer()),
    "class": ByHelper,
    "settings": lambda: BySettings(Settings),
    "enumeration": lambda: ByEnumeration(0),
    "script": Scripted,
    "size of a weight": SizeOfAWeight,
}
