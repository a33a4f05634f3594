# mypy: disable-error-code="no-any-return"
# (a function that torch.jit.script returns is Any.)
"""TorchScript called from Python that decides by values, and some that only seems to."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn


def scripted(made: Any) -> Any:
    with warnings.catch_warnings():
        # torch announces the deprecation of what it still has.
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(made)


@scripted
def reset_at_mark(x: Tensor, h: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """Begins anew for all rows where one has a mark."""
    h = torch.tanh(x @ u + h @ w)
    if bool((x == 7.25).any()):
        h = torch.zeros_like(h)
    return h


@scripted
def reset_at_padding(x: Tensor, h: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """The same for a padded step."""
    if bool((x == -1.0).all(-1).any()):
        h = torch.zeros_like(h)
    return torch.tanh(x @ u + h @ w)


@scripted
def as_often(x: Tensor, h: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """Runs as often as a value says."""
    for _ in range(1 + int((x > 2.5).sum())):
        h = torch.tanh(x @ u + h @ w)
    return h


@scripted
def late_tensor(x: Tensor, h: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """Asks what it has written into a part of another tensor."""
    seen = torch.zeros(2)
    seen[0] = (x == 7.25).sum()
    h = torch.tanh(x @ u + h @ w)
    if seen.max().item() > 0:
        h = h * 0
    return h


@scripted
def guarded(x: Tensor, h: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """Raises where a value is none, and asks for sizes only."""
    if bool(x.isnan().any()):
        raise ValueError("not a number")
    if x.dim() == 1 or x.size(0) > 10**6:
        x = x * 2
    return torch.tanh(x @ u + h @ w)


@scripted
def sized(x: Tensor, h: Tensor | None, w: Tensor, u: Tensor) -> Tensor:
    """Asks what is None, for sizes and for dtypes."""
    if h is None:
        h = torch.zeros(x.shape[0], w.shape[0])
    if x.dtype == torch.float16 or x.dim() > 5:
        x = x * 2
    for _ in range(x.dim() - 1):
        h = torch.tanh(x @ u + h @ w)
    return h


@scripted
def until(x: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """Is done once a value says so."""
    h = torch.zeros(x.shape[0], w.shape[0])
    outs: list[Tensor] = []
    done = False
    for t in range(x.shape[1]):
        if not done:
            h = torch.tanh(x[:, t] @ u + h @ w)
        if bool(h.mean() > 0.55):
            done = True
        outs.append(h)
    return torch.stack(outs, 1)


@scripted
def hold_off(x: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """Is silent for five steps after a value."""
    h = torch.zeros(x.shape[0], w.shape[0])
    outs: list[Tensor] = []
    left = 0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ u + h @ w)
        if bool(h.min() > 0.5):
            left = 5
        if left > 0:
            left -= 1
            outs.append(torch.zeros_like(h))
        else:
            outs.append(h)
    return torch.stack(outs, 1)


@scripted
def loudest(x: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """In proportion to the loudest step so far, a number of Python's."""
    h = torch.zeros(x.shape[0], w.shape[0])
    outs: list[Tensor] = []
    most = 3.0
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ u + h @ w)
        most = max(most, float(h.abs().sum()))
        outs.append(h / most)
    return torch.stack(outs, 1)


@scripted
def clips(x: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """Keeps the norm of all rows together below one."""
    h = torch.zeros(x.shape[0], w.shape[0])
    outs: list[Tensor] = []
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ u + h @ w)
        h = h / h.norm().clamp(min=1.0)
        outs.append(h)
    return torch.stack(outs, 1)


class Weights(nn.Module):
    """What the functions take."""

    def __init__(self) -> None:
        super().__init__()
        made = torch.Generator().manual_seed(1)
        self.w = nn.Parameter(torch.randn(6, 6, generator=made) * 0.3)
        self.u = nn.Parameter(torch.randn(4, 6, generator=made) * 0.5)


class Steps(Weights):
    """Python that loops over a cell in TorchScript."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h, outs = torch.zeros(x.shape[0], 6), []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h, self.w, self.u)
            outs.append(h)
        return torch.stack(outs, 1)


class Loop(Weights):
    """A loop in TorchScript."""

    def __init__(self, loop: Any) -> None:
        super().__init__()
        self.loop = loop

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        return self.loop(x, self.w, self.u)


class Cell(nn.Module):
    """A cell that begins anew at a mark; as TorchScript it has no Python left."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.GRUCell(4, 6)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """x (B, 4), h (B, 6)."""
        if bool((x == 7.25).any()):
            h = torch.zeros_like(h)
        return self.inside(x, h)


class Layer(Cell):
    """The same over a sequence, with its state outside."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """x (B, T, 4), h (B, 6)."""
        outs: list[Tensor] = []
        for t in range(x.shape[1]):
            if bool((x[:, t] == 7.25).any()):
                h = torch.zeros_like(h)
            h = self.inside(x[:, t], h)
            outs.append(h)
        return torch.stack(outs, 1), h


class ByModule(nn.Module):
    """Python that loops over a module in TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = scripted(Cell())

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h, outs = torch.zeros(x.shape[0], 6), []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            outs.append(h)
        return torch.stack(outs, 1)


def recorded() -> Any:
    """A cell recorded by torch.jit.trace, in which a script has kept its decision."""

    def cell(x: Tensor, h: Tensor, w: Tensor, u: Tensor) -> Tensor:
        return reset_at_mark(x, h, w, u) * 1.5

    given = torch.ones(2, 4), torch.ones(2, 6), torch.ones(6, 6), torch.ones(4, 6)
    return torch.jit.trace(cell, given)  # type: ignore[no-untyped-call]
