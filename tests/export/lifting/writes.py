"""Ways to walk over time and to write the outputs."""

import functools
import itertools
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs


class WritesOutput(nn.Module):
    """Each step is written to out[:, t] of a zeros tensor."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.RNNCell(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.cell.hidden_size)
        out = torch.zeros(x.size(0), x.size(1), self.cell.hidden_size)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
            out[:, t] = h
        return out


class PreallocatedStates(nn.Module):
    """All states in one buffer [B, T + 1, H], read at t and written at t + 1."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.inp, self.rec = nn.Linear(features, hidden), nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        hs = torch.zeros(x.size(0), x.size(1) + 1, self.rec.in_features).to(x)
        for t in range(x.size(1)):
            hs[:, t + 1] = torch.tanh(self.inp(x[:, t]) + self.rec(hs[:, t]))
        return hs[:, 1:]


class WritesSlices(nn.Module):
    """Half the state is written in place as h[:, :k], the other half as h[:, k:]."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.k = hidden // 2
        self.fast = nn.Linear(features + hidden, self.k)
        self.slow = nn.Linear(features + hidden, hidden - self.k)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.fast.out_features + self.slow.out_features)
        outs = []
        for t in range(x.size(1)):
            both = torch.cat([x[:, t], h], 1)
            h[:, : self.k] = torch.tanh(self.fast(both))
            h[:, self.k :] = 0.9 * h[:, self.k :] + 0.1 * self.slow(both)
            outs.append(h.clone())
        return torch.stack(outs, 1)


class NarrowCopy(nn.Module):
    """Each step is copied to out.narrow(1, t, 1), the state kept with its axis of time."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.wx, self.wh = nn.Linear(features, hidden), nn.Linear(hidden, hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        out: Tensor = self.wx(x)
        h = torch.zeros_like(out[:, :1])
        for t in range(out.size(1)):
            h = torch.sigmoid(out.narrow(1, t, 1) + self.wh(h))
            out.narrow(1, t, 1).copy_(h)
        return out


class EnumerateUnbind(nn.Module):
    """enumerate(x.unbind(1)) and a list allocated beforehand."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.cell.hidden_size)
        outs: list[Tensor] = [h] * x.size(1)
        for t, x_t in enumerate(x.unbind(1)):
            outs[t] = h = self.cell(x_t, h)
        return torch.stack(outs, 1)


class TransposeIterate(nn.Module):
    """for x_t in x.transpose(0, 1), outputs stacked time first and turned back."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList([nn.LSTMCell(features, hidden), nn.LSTMCell(hidden, hidden)])
        self.hidden = hidden

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        zeros = torch.zeros(x.size(0), self.hidden, device=x.device)
        state = [(zeros, zeros) for _ in self.cells]
        outs = []
        for x_t in x.transpose(0, 1):
            below = x_t
            for i, cell in enumerate(self.cells):
                state[i] = cell(below, state[i])
                below = state[i][0]
            outs.append(below)
        return torch.stack(outs).transpose(0, 1)


class WhileLoop(nn.Module):
    """A while loop that counts up to the length."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.lin = nn.Linear(features + hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h, t, outs = torch.zeros(x.size(0), self.lin.out_features), 0, []
        while t < x.size(1):
            h = 0.5 * h + torch.tanh(self.lin(torch.cat([x[:, t], h], 1)))
            outs.append(h)
            t += 1
        return torch.stack(outs, 1)


class Recursion(nn.Module):
    """A helper method that calls itself for the steps before."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.RNNCell(features, hidden)

    def states(self, x: Tensor, t: int) -> list[Tensor]:
        """The start and the states after each of the first t steps."""
        if t == 0:
            return [x.new_zeros(x.size(0), self.cell.hidden_size)]
        before = self.states(x, t - 1)
        return [*before, self.cell(x[:, t - 1], before[-1])]

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        return torch.stack(self.states(x, x.size(1))[1:], 1)


class TimeFirst(nn.Module):
    """Time is the first axis, as in nn.LSTM's default."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [T, B, F] to [T, B, H]."""
        h = c = torch.zeros(x.size(1), self.cell.hidden_size, device=x.device)
        outs = []
        for x_t in x:
            h, c = self.cell(x_t, (h, c))
            outs.append(h)
        return torch.stack(outs)


def unscripted_cell(x: Tensor, h: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
    """x [B, 2H] projected, h [B, H] to the next state [B, H]."""
    gate, new = (x + torch.mm(h, u.t()) + b).chunk(2, 1)
    gate = torch.sigmoid(gate)
    return gate * h + (1.0 - gate) * torch.tanh(new * w)


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    scripted_cell = torch.jit.script(unscripted_cell)


class ScriptedCell(nn.Module):
    """The cell is a function under torch.jit.script, called in a python loop."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(features, 2 * hidden)
        self.w = nn.Parameter(torch.rand(hidden) + 0.5)
        self.u = nn.Parameter(torch.randn(2 * hidden, hidden) * 0.4)
        self.b = nn.Parameter(torch.randn(2 * hidden) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.w.numel())
        outs = []
        for x_t in self.proj(x).unbind(1):
            h = scripted_cell(x_t, h, self.w, self.u, self.b)
            outs.append(h)
        return torch.stack(outs, 1)


class WalrusComprehension(nn.Module):
    """All steps in one list comprehension, the state carried by :=."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.cell.hidden_size)
        return torch.stack([h := self.cell(x_t, h) for x_t in x.unbind(1)], dim=1)


class Accumulate(nn.Module):
    """itertools.accumulate over the steps, the start passed as initial and dropped."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.RNNCell(features, hidden, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        start = torch.zeros(x.size(0), self.cell.hidden_size)
        walk = itertools.accumulate(x.unbind(1), lambda h, e: self.cell(e, h), initial=start)
        return torch.stack(list(itertools.islice(walk, 1, None)), 1)


class Reduce(nn.Module):
    """functools.reduce over the steps; the last state alone."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, H]."""
        start = torch.zeros(x.size(0), self.cell.hidden_size)
        return functools.reduce(lambda h, x_t: self.cell(x_t, h), x.unbind(1), start)


class Generator(nn.Module):
    """A generator method yields the states."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.inp = nn.Linear(features, hidden)
        self.decay = nn.Parameter(torch.rand(hidden))

    def walk(self, x: Tensor) -> Iterator[Tensor]:
        """The states [B, 1, H], one a step."""
        h = self.inp(x[:, :1]) * 0
        for piece in x.chunk(x.size(1), dim=1):
            h = torch.tanh(self.decay * h + self.inp(piece))
            yield h

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        return torch.cat(list(self.walk(x)), 1)


X = inputs(floats(4))
CASES: dict[str, Case] = {
    "writes_output": Case(lambda: WritesOutput(4, 6), X, "step", "out[:, t] = h"),
    "preallocated_states": Case(lambda: PreallocatedStates(4, 6), X, "step", "read t, write t + 1"),
    "writes_slices": Case(lambda: WritesSlices(4, 6), X, "step", "h[:, :k] = ..."),
    "narrow_copy": Case(lambda: NarrowCopy(4, 6), X, "step", "outputs over their inputs"),
    "enumerate_unbind": Case(lambda: EnumerateUnbind(4, 6), X, "step", "a list filled by index"),
    "transpose_iterate": Case(lambda: TransposeIterate(4, 5), X, "step", "stacked time first"),
    "while_loop": Case(lambda: WhileLoop(4, 6), X, "step", "a while loop"),
    "recursion": Case(lambda: Recursion(4, 6), X, "step", "recursion over the steps"),
    "time_first": Case(
        lambda: TimeFirst(4, 6), inputs(floats(4), batch=3, time=0), "step", "[T, B, F]", time=0
    ),
    "scripted_cell": Case(lambda: ScriptedCell(4, 6), X, "step", "a scripted function"),
    "walrus_comprehension": Case(lambda: WalrusComprehension(4, 6), X, "step", "a comprehension"),
    "accumulate": Case(lambda: Accumulate(4, 6), X, "step", "itertools.accumulate"),
    "reduce": Case(lambda: Reduce(4, 6), X, "last", "functools.reduce"),
    "generator": Case(lambda: Generator(4, 6), X, "step", "zeros by a product with zero"),
}
