"""States kept on the module: attributes, buffers, lists, with and without a reset."""

from typing import cast

import torch
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs


class KeptAndReset(nn.Module):
    """GRU cell whose state is self.h, set to zeros at the start of every forward."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)
        self.h = torch.zeros(1, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        self.h = x.new_zeros(x.size(0), self.cell.hidden_size)
        outs = []
        for t in range(x.size(1)):
            self.h = self.cell(x[:, t], self.h)
            outs.append(self.h)
        return torch.stack(outs, 1)


class KeptAndNotReset(nn.Module):
    """Leaky units whose self.h stays for the next call; a fresh module starts at zeros."""

    h: Tensor | None

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.inp = nn.Linear(features, hidden)
        self.rec = nn.Linear(hidden, hidden)
        self.h = None

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        if self.h is None or self.h.size(0) != x.size(0):
            self.h = torch.zeros(x.size(0), self.rec.in_features)
        outs = []
        for x_t in x.unbind(1):
            self.h = 0.6 * self.h + 0.4 * torch.tanh(self.inp(x_t) + self.rec(self.h))
            outs.append(self.h)
        return torch.stack(outs, 1)


class BufferInPlace(nn.Module):
    """A state buffer of eight rows: those of the batch are zeroed, then changed in place."""

    state: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("state", torch.zeros(8, features))
        self.rate = nn.Parameter(torch.rand(features) * 0.8 + 0.1)
        self.proj = nn.Linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F], B up to 8, to [B, T, F]."""
        state = self.state[: x.size(0)].zero_()
        outs = []
        for t in range(x.size(1)):
            state.mul_(1 - self.rate).add_(self.rate * x[:, t])
            outs.append(self.proj(state))
        return torch.stack(outs, 1)


class BufferCopied(nn.Module):
    """Buffers replaced by ones of the batch's shape at the start, then copied into with copy_."""

    mean: Tensor
    var: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, features), persistent=False)
        self.register_buffer("var", torch.ones(1, features), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        self.mean = x.new_empty(x.size(0), x.size(2)).fill_(0.0)
        self.var = x.new_empty(x.size(0), x.size(2)).fill_(1.0)
        outs = []
        for x_t in x.unbind(1):
            gap = x_t - self.mean
            outs.append(gap / torch.sqrt(self.var + 1e-5))
            self.mean.copy_(self.mean + 0.1 * gap)
            self.var.copy_(0.9 * self.var + 0.1 * gap * gap)
        return torch.stack(outs, 1)


class StateListAppended(nn.Module):
    """Every state is appended to self.states; each step reads the last two of them."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.inp = nn.Linear(features, hidden)
        self.rec = nn.Linear(2 * hidden, hidden)
        self.hidden = hidden
        self.states: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        self.states = [x.new_zeros(x.size(0), self.hidden) for _ in range(2)]
        for t in range(x.size(1)):
            both = torch.cat([self.states[-1], self.states[-2]], dim=1)
            self.states.append(torch.tanh(self.inp(x[:, t]) + self.rec(both)))
        return torch.stack(self.states[2:], dim=1)


class InitHidden(nn.Module):
    """The classic init_hidden(batch): zeros of the dtype and device of the weights."""

    def __init__(self, features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.layers, self.hidden = layers, hidden
        self.cells = nn.ModuleList(
            [nn.GRUCell(features if i == 0 else hidden, hidden) for i in range(layers)]
        )
        self.decoder = nn.Linear(hidden, features)

    def init_hidden(self, batch: int) -> Tensor:
        """Zeros [layers, B, H]."""
        weight = next(self.parameters())
        return weight.new_zeros(self.layers, batch, self.hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        hidden = self.init_hidden(x.size(0))
        outs = []
        for x_t in x.unbind(1):
            new = []
            for i, cell in enumerate(self.cells):
                x_t = cell(x_t, hidden[i])
                new.append(x_t)
            hidden = torch.stack(new)
            outs.append(self.decoder(x_t))
        return torch.stack(outs, 1)


class ResetState(nn.Module):
    """LSTM by hand whose reset_state(x) sets two attributes, called by forward."""

    h: Tensor
    c: Tensor

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.w = nn.Linear(features, 4 * hidden)
        self.u = nn.Linear(hidden, 4 * hidden, bias=False)

    def reset_state(self, like: Tensor) -> None:
        """Zeros for the batch of like [B, T, F]."""
        self.h = torch.zeros(like.size(0), self.hidden, device=like.device, dtype=like.dtype)
        self.c = torch.zeros_like(self.h)

    def step(self, x: Tensor) -> Tensor:
        """x [B, F] to the new hidden state [B, H]."""
        i, f, g, o = (self.w(x) + self.u(self.h)).chunk(4, dim=-1)
        self.c = self.c * f.sigmoid() + i.sigmoid() * g.tanh()
        self.h = o.sigmoid() * self.c.tanh()
        return self.h

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        self.reset_state(x)
        return torch.stack([self.step(x[:, t]) for t in range(x.size(1))], dim=1)


class DictAttribute(nn.Module):
    """The states of a feature-wise memory in a dict on the module, keyed by name."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.memory: dict[str, Tensor] = {}
        self.rates = {"fast": 0.5, "slow": 0.05}
        self.mix = nn.Linear(3 * features, features)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        self.memory = {name: torch.zeros_like(x[:, 0]) for name in self.rates}
        outs = []
        for x_t in x.unbind(dim=1):
            for name, rate in self.rates.items():
                self.memory[name] = self.memory[name] + rate * (x_t - self.memory[name])
            outs.append(self.mix(torch.cat([x_t, *self.memory.values()], 1)))
        return torch.stack(outs, 1)


class StepCounter(nn.Module):
    """Running mean with a python counter on the module, put back to zero by forward."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.fc = nn.Linear(features, hidden)
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        self.seen = 0
        h = self.fc(x)
        mean = torch.zeros_like(h[:, 0])
        outs = []
        for h_t in h.unbind(1):
            self.seen += 1
            mean = mean + (h_t - mean) / self.seen
            outs.append(torch.tanh(h_t - mean))
        return torch.stack(outs, 1)


class LeakyNode(nn.Module):
    """A neuron layer that holds its own potential, a float zero until the first step."""

    def __init__(self, tau: float, threshold: float) -> None:
        super().__init__()
        self.tau, self.threshold = tau, threshold
        self.v: Tensor | float = 0.0

    def reset(self) -> None:
        """Forgets the potential."""
        self.v = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """x [B, N], one step, to spikes [B, N]."""
        v = self.v + (x - self.v) / self.tau
        s = (v >= self.threshold).to(x.dtype)
        self.v = v * (1 - s)
        return s


class StatefulNodes(nn.Module):
    """Spiking network of layers with their own states, reset by a walk over modules()."""

    def __init__(self, features: int, hidden: int, out: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(features, hidden),
            LeakyNode(2.0, 0.1),
            nn.Linear(hidden, hidden),
            LeakyNode(1.5, 0.1),
            nn.Linear(hidden, out),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, out]."""
        for module in self.modules():
            if hasattr(module, "reset"):
                cast(LeakyNode, module).reset()
        return torch.stack([self.net(x[:, t]) for t in range(x.size(1))], 1)


X = inputs(floats(4))
CASES: dict[str, Case] = {
    "kept_and_reset": Case(lambda: KeptAndReset(4, 6), X, "step", "an attribute, reset"),
    "kept_and_not_reset": Case(
        lambda: KeptAndNotReset(4, 6),
        X,
        "step",
        "an attribute carried over calls, zeros in a fresh module",
        ("refused",),
        stateful=True,
    ),
    "buffer_in_place": Case(lambda: BufferInPlace(4), X, "step", "a buffer changed in place"),
    "buffer_copied": Case(lambda: BufferCopied(4), X, "step", "buffers copied into"),
    "state_list_appended": Case(lambda: StateListAppended(4, 5), X, "step", "the last two states"),
    "init_hidden": Case(lambda: InitHidden(4, 6, 2), X, "step", "one state [layers, B, H]"),
    "reset_state": Case(lambda: ResetState(4, 6), X, "step", "attributes set by a method"),
    "dict_attribute": Case(lambda: DictAttribute(4), X, "step", "a dict on the module"),
    "step_counter": Case(lambda: StepCounter(4, 5), X, "step", "a python counter is a state"),
    "stateful_nodes": Case(lambda: StatefulNodes(4, 8, 3), X, "step", "states in submodules"),
}
