# mypy: disable-error-code="no-any-return, no-untyped-call"
# (nn.Module.__call__ returns Any, torch.autograd.Function.apply is not annotated.)
"""Modules called in other ways, and parts that a trace does not look into."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from tests.export.cases.models import Pair


class Calls(nn.Module):
    """A GRU over frames (B, T, 6), each row at its own loudness (B, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def both(self, x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        """What every one of these answers."""
        return self.gru(x)[0] * gain[:, None]


class ByDict(Calls):
    """Takes one mapping."""

    def forward(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.both(batch["x"], batch["gain"])


class ByKeywords(Calls):
    """Takes keywords of any name."""

    def forward(self, **kwargs: torch.Tensor) -> torch.Tensor:
        return self.both(kwargs["x"], kwargs["gain"])


class ByBoth(Calls):
    """Takes its frames by position and what else there is by keyword."""

    def forward(self, x: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        return self.both(x, kwargs["gain"])


class ByOrder(Calls):
    """Takes whatever comes, in order."""

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        return self.both(*args)


class Rounds(torch.autograd.Function):
    """Rounds to quarters, and lets gradients through."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.round(x * 4) / 4

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad


class Scan(torch.autograd.Function):
    """h[t] = a[t] * h[t-1] + b[t] over (B, T, H) by doubling, as parallel scans do."""

    @staticmethod
    def forward(ctx: Any, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        step = 1
        while step < a.shape[1]:
            shifted_a = nn.functional.pad(a, (0, 0, step, 0), value=1.0)[:, : a.shape[1]]
            shifted_b = nn.functional.pad(b, (0, 0, step, 0))[:, : b.shape[1]]
            a, b = a * shifted_a, a * shifted_b + b
            step *= 2
        return b

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        raise NotImplementedError


class Quantises(nn.Module):
    """A GRU behind such a rounding."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.gru(Rounds.apply(x))[0])


class Scans(nn.Module):
    """A minGRU: its recurrence is the scan, its state taken and returned, (B, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.new = nn.Linear(6, 8), nn.Linear(6, 8)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> Pair:
        z = torch.sigmoid(self.gate(x))  # (B, T, 8)
        b = torch.cat((h[:, None], z * self.new(x)), 1)
        a = torch.cat((torch.ones_like(h)[:, None], 1 - z), 1)
        y = Scan.apply(a, b)[:, 1:]
        return y, y[:, -1]


class ScansHidden(Scans):
    """The same with its state to itself: there is no recurrent layer to be seen."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x, x.new_zeros(x.shape[0], 8))[0]


class Scripted(nn.Module):
    """A GRU between parts that are TorchScript: a module and a function."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(5, 8, batch_first=True)
        with warnings.catch_warnings():
            # torch.jit.script announces its own deprecation.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.front = torch.jit.script(nn.Sequential(nn.Linear(6, 5), nn.ReLU()))
            self.swish = torch.jit.script(_swish)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.swish(self.gru(self.front(x))[0])


def _swish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)
