"""Recurrences that run inside of TorchScript, where nothing watches."""

import warnings

import torch
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs


def walked(x: Tensor, w: Tensor, u: Tensor) -> Tensor:
    """x [B, T, F] to [B, T, H]."""
    h = torch.zeros(x.shape[0], w.shape[0], dtype=x.dtype)
    found = []
    for t in range(x.shape[1]):
        h = torch.tanh(torch.matmul(x[:, t], u) + torch.matmul(h, w))
        found.append(h)
    return torch.stack(found, 1)


def smoothed(x: Tensor, keep: float) -> Tensor:
    """x [B, T, F] to the same, written in place."""
    y = x.clone()
    for t in range(1, x.shape[1]):
        y[:, t] = keep * y[:, t - 1] + (1 - keep) * x[:, t]
    return y


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    walk = torch.jit.script(walked)

    def walked_twice(x: Tensor, w: Tensor, u: Tensor) -> Tensor:
        """A script that calls a script."""
        found: Tensor = walk(x, w, u)
        return found * 2.0

    walk_inside = torch.jit.script(walked_twice)
    smooth = torch.jit.script(smoothed)


class Weights(nn.Module):
    """What the cells have in common."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(6, 6) * 0.3)
        self.u = nn.Parameter(torch.randn(4, 6) * 0.3)
        self.out = nn.Linear(6, 3)


class ScriptedWalk(Weights):
    """The loop over time is a function under torch.jit.script."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 4] to [B, T, 3]."""
        y: Tensor = self.out(walk(x, self.w, self.u))
        return y


class ScriptedLast(ScriptedWalk):
    """What it ends with alone."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 4] to [B, 3]."""
        y: Tensor = self.out(walk(x, self.w, self.u)[:, -1])
        return y


class ScriptInScript(Weights):
    """The loop is two scripts down."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 4] to [B, T, 3]."""
        y: Tensor = self.out(walk_inside(x, self.w, self.u))
        return y


class ScriptedSmooth(Weights):
    """A filter that writes in place, inside of a script."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 4] to [B, T, 6]."""
        y: Tensor = smooth(x, 0.9) @ self.u
        return y


class Walk(Weights):
    """The loop as a module."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 4] to [B, T, 6]."""
        return walked(x, self.w, self.u)


class Turned(Weights):
    """A loop that has nothing to do with time."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 4] to [B, T, 6]."""
        y = torch.matmul(x, self.u)
        for _ in range(3):
            y = torch.tanh(torch.matmul(y, self.w))
        return y


class Around(Weights):
    """A scripted module in a plain one."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.inside = torch.jit.script(inside)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 4] to [B, T, 3]."""
        y: Tensor = self.out(self.inside(x))
        return y


class BesideLayer(Around):
    """A scripted module before a layer."""

    def __init__(self) -> None:
        super().__init__(Turned())
        self.gru = nn.GRU(6, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 4] to [B, T, 3]."""
        y: Tensor = self.out(self.gru(self.inside(x))[0])
        return y


X = inputs(floats(4))
CASES: dict[str, Case] = {
    "scripted_walk": Case(ScriptedWalk, X, "step", "its Python is known"),
    "scripted_last": Case(ScriptedLast, X, "last", "its Python is known"),
    "script_in_script": Case(ScriptInScript, X, "step", "its Python is known"),
    "scripted_smooth": Case(ScriptedSmooth, X, "step", "its Python is known"),
    "scripted_module": Case(lambda: Around(Walk()), X, "refused", "nothing inside is seen"),
    "scripted_beside_layer": Case(BesideLayer, X, "step", "its loop is not over time"),
}
