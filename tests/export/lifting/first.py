"""Loops whose first step is one of its own: it makes the state that the others go on from."""

import torch
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs


class BeginsByProjection(nn.Module):
    """An Elman network without a first state: h is what the first step projects to."""

    def __init__(self, features: int, hidden: int, last: bool = False) -> None:
        super().__init__()
        self.w, self.u = nn.Linear(features, hidden), nn.Linear(hidden, hidden)
        self.last = last

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H], or [B, H] of the last step."""
        h = self.w(x[:, 0])
        outs = [h]
        for t in range(1, x.size(1)):
            h = torch.tanh(self.w(x[:, t]) + self.u(h))
            outs.append(h)
        return h if self.last else torch.stack(outs, 1)


class TimeFirst(BeginsByProjection):
    """The same with time in front."""

    def forward(self, x: Tensor) -> Tensor:
        """x [T, B, F] to [T, B, H]."""
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


class ForwardAlgorithm(nn.Module):
    """A hidden Markov model: alpha in log space, from learned first and transition scores."""

    def __init__(self, features: int, states: int, best: bool = False) -> None:
        super().__init__()
        self.emit = nn.Linear(features, states)
        self.first = nn.Parameter(torch.randn(states))
        self.pass_on = nn.Parameter(torch.randn(states, states))
        self.best = best

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, S]."""
        scores = self.emit(x)
        alpha = self.first.log_softmax(0) + scores[:, 0]
        outs = [alpha]
        for t in range(1, x.size(1)):
            paths = alpha.unsqueeze(2) + self.pass_on.log_softmax(1)
            alpha = (paths.amax(1) if self.best else torch.logsumexp(paths, 1)) + scores[:, t]
            outs.append(alpha - alpha.amax(1, keepdim=True))
        return torch.stack(outs, 1)


class OfSums(nn.Module):
    """Over a running sum, whose state is one of an operator along time."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.w, self.u = nn.Linear(features, hidden), nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        sums = 0.1 * x.cumsum(1)
        h = self.w(sums[:, 0])
        outs = [h]
        for t in range(1, x.size(1)):
            h = torch.tanh(self.w(sums[:, t]) + self.u(h))
            outs.append(h)
        return torch.stack(outs, 1)


class Smoothed(nn.Module):
    """A level in front of a layer, kept in a list whose first is the first step."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.layer = nn.LSTM(features, hidden, num_layers=2)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        levels = [x[:, 0]]
        for t in range(1, x.size(1)):
            levels.append(0.3 * x[:, t] + 0.7 * levels[-1])
        smooth = x - torch.stack(levels, 1)
        found: Tensor = self.layer(smooth.transpose(0, 1))[0]
        return found.transpose(0, 1)


class Changes(nn.Module):
    """A cell over what each step changed; before the first there is nothing."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h, before = x.new_zeros(x.size(0), self.cell.hidden_size), None
        outs = []
        for t in range(x.size(1)):
            change = torch.zeros_like(x[:, t]) if before is None else x[:, t] - before
            before = x[:, t]
            h = self.cell(change, h)
            outs.append(h)
        return torch.stack(outs, 1)


X = inputs(floats(4))
CASES = {
    "begins_by_projection": Case(lambda: BeginsByProjection(4, 6), X, "step", "h = w(x[:, 0])"),
    "begins_and_ends": Case(lambda: BeginsByProjection(4, 6, True), X, "last", "one answer"),
    "begins_time_first": Case(
        lambda: TimeFirst(4, 6), inputs(floats(4), time=0), "step", "time in front", time=0
    ),
    "forward_algorithm": Case(lambda: ForwardAlgorithm(4, 5), X, "step", "alpha of a first step"),
    "viterbi_scores": Case(lambda: ForwardAlgorithm(4, 5, True), X, "step", "the best path's"),
    "begins_before_an_lstm": Case(lambda: Smoothed(4, 6), X, "step", "two layers, time first"),
    "begins_with_nothing_before": Case(lambda: Changes(4, 6), X, "step", "before = None"),
    "begins_of_sums": Case(lambda: OfSums(4, 6), X, "step", "a cumsum before the loop"),
}
