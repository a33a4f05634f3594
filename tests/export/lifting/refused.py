"""Modules with no truthful program for other lengths or other data."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs


class RandomStart(nn.Module):
    """The start is drawn anew in every call, in eval too."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = torch.randn(x.size(0), self.cell.hidden_size)
        outs = []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            outs.append(h)
        return torch.stack(outs, 1)


class AlwaysDropout(nn.Module):
    """Monte Carlo dropout: the state is dropped out in eval too."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.RNNCell(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.cell.hidden_size)
        outs = []
        for t in range(x.size(1)):
            h = self.cell(x[:, t], F.dropout(h, 0.3, training=True))
            outs.append(h)
        return torch.stack(outs, 1)


class ResetEverySixtyFour(nn.Module):
    """The state is cleared every 64 steps by a python counter: no short trace shows it."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(features, hidden)
        self.period = 64

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = c = x.new_zeros(x.size(0), self.cell.hidden_size)
        outs = []
        for t in range(x.size(1)):
            if t > 0 and t % self.period == 0:
                h, c = torch.zeros_like(h), torch.zeros_like(c)
            h, c = self.cell(x[:, t], (h, c))
            outs.append(h)
        return torch.stack(outs, 1)


class BranchOnNorm(nn.Module):
    """A python branch on the norm of the state rescales it."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.inp = nn.Linear(features, hidden)
        self.rec = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.rec.in_features)
        outs = []
        for t in range(x.size(1)):
            h = 0.9 * h + F.silu(self.inp(x[:, t]) + self.rec(h))
            if h.norm() > 1:
                h = h / h.norm()
            outs.append(h)
        return torch.stack(outs, 1)


class SkipsSilence(nn.Module):
    """Steps whose energy is low are skipped by python, the last output repeated."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.cell.hidden_size)
        outs = []
        for x_t in x.unbind(1):
            if x_t.abs().mean().item() > 0.8:
                h = self.cell(x_t, h)
            outs.append(h)
        return torch.stack(outs, 1)


class HaltingSteps(nn.Module):
    """Adaptive computation time: an inner while loop until the halting sum passes a threshold."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)
        self.halt = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.cell.hidden_size)
        outs = []
        for t in range(x.size(1)):
            total = torch.zeros(x.size(0), 1)
            while bool((total < 0.9).any()):
                h = self.cell(x[:, t], h)
                total = total + torch.sigmoid(self.halt(h))
            outs.append(h)
        return torch.stack(outs, 1)


class NumpyFilter(nn.Module):
    """The recurrence runs in numpy, out of the sight of a trace."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.decay = 0.8
        self.proj = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        values = x.detach().cpu().numpy()
        out = np.zeros_like(values)
        state = np.zeros_like(values[:, 0])
        for t in range(values.shape[1]):
            state = self.decay * state + (1 - self.decay) * values[:, t]
            out[:, t] = state
        y: Tensor = self.proj(torch.from_numpy(out))
        return y


class SqueezesBatch(nn.Module):
    """A bare squeeze drops the batch too where it is one."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.wx = nn.Linear(features, hidden)
        self.wh = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H], or [T, H] where B is one."""
        h = x.new_zeros(x.size(0), 1, self.wh.in_features)
        outs = []
        for x_t in x.split(1, dim=1):  # type: ignore[no-untyped-call]
            h = torch.tanh(self.wx(x_t) + self.wh(h))
            outs.append(h.squeeze())
        return torch.stack(outs, -2)


class CallsCounted(nn.Module):
    """The rate of smoothing depends on how often the module was called before."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.calls = 0
        self.proj = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        self.calls += 1
        rate = 1.0 / (1 + self.calls)
        s = torch.zeros_like(x[:, 0])
        outs = []
        for x_t in x.unbind(1):
            s = s + rate * (self.proj(x_t) - s)
            outs.append(s)
        return torch.stack(outs, 1)


class CoinTeacher(nn.Module):
    """Scheduled sampling that forgets to ask for training: python's random chooses the input."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)
        self.out = nn.Linear(hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        h = x.new_zeros(x.size(0), self.cell.hidden_size)
        y = torch.zeros_like(x[:, 0])
        outs = []
        for t in range(x.size(1)):
            h = self.cell(x[:, t] if random.random() < 0.5 else y, h)
            y = self.out(h)
            outs.append(y)
        return torch.stack(outs, 1)


class WeightsPerStep(nn.Module):
    """A weight matrix of its own for each of the steps: a length of eight is built in."""

    def __init__(self, features: int, hidden: int, steps: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList([nn.Linear(features + hidden, hidden) for _ in range(steps)])
        self.hidden = hidden

    def forward(self, x: Tensor) -> Tensor:
        """x [B, 8, F] to [B, 8, H]."""
        h = x.new_zeros(x.size(0), self.hidden)
        outs = []
        for t, layer in enumerate(self.steps):
            h = torch.tanh(layer(torch.cat([x[:, t], h], 1)))
            outs.append(h)
        return torch.stack(outs, 1)


class WarmUpThenHold(nn.Module):
    """Updates its statistics in the first 16 steps alone, by a python comparison of t."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(features) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        mean = torch.zeros_like(x[:, 0])
        outs = []
        for t in range(x.size(1)):
            if t < 16:
                mean = mean + (x[:, t] - mean) / (t + 1)
            outs.append(self.gain * (x[:, t] - mean))
        return torch.stack(outs, 1)


X = inputs(floats(4))
CASES: dict[str, Case] = {
    "random_start": Case(lambda: RandomStart(4, 6), X, "refused", "not deterministic"),
    "always_dropout": Case(lambda: AlwaysDropout(4, 6), X, "refused", "not deterministic"),
    "reset_every_sixty_four": Case(
        lambda: ResetEverySixtyFour(4, 6), X, "refused", "python counter, unseen", ("whole",)
    ),
    "branch_on_norm": Case(
        lambda: BranchOnNorm(4, 6), X, "refused", "branches on data, over the whole batch"
    ),
    "skips_silence": Case(lambda: SkipsSilence(4, 6), X, "refused", "branches on data by item()"),
    "halting_steps": Case(lambda: HaltingSteps(4, 6), X, "refused", "an inner loop on data"),
    "numpy_filter": Case(lambda: NumpyFilter(4), X, "refused", "the walk is in numpy"),
    "squeezes_batch": Case(
        lambda: SqueezesBatch(4, 6), X, "refused", "loses the batch of one", ("whole", "step")
    ),
    "calls_counted": Case(
        lambda: CallsCounted(4), X, "refused", "depends on the calls before", stateful=True
    ),
    "coin_teacher": Case(lambda: CoinTeacher(4, 6), X, "refused", "not deterministic"),
    "weights_per_step": Case(
        lambda: WeightsPerStep(4, 5, 8),
        inputs(floats(4), steps=8),
        "refused",
        "each step has weights of its own",
        ("whole",),
        lengths=(8,),
    ),
    "warm_up_then_hold": Case(
        lambda: WarmUpThenHold(4), X, "refused", "python comparison of t, unseen", ("whole",)
    ),
}
