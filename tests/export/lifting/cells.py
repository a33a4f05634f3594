"""Gated cells written by hand: how the gates, the state and the start are spelled."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs


class GRUFusedWeights(nn.Module):
    """GRU of two fused weight matrices and F.linear; zeros by x.new_zeros."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.w_ih = nn.Parameter(torch.randn(3 * hidden, features) * 0.4)
        self.w_hh = nn.Parameter(torch.randn(3 * hidden, hidden) * 0.4)
        self.b_ih = nn.Parameter(torch.randn(3 * hidden) * 0.1)
        self.b_hh = nn.Parameter(torch.randn(3 * hidden) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.hidden)
        outs = []
        for t in range(x.size(1)):
            ri, zi, ni = F.linear(x[:, t], self.w_ih, self.b_ih).chunk(3, 1)
            rh, zh, nh = F.linear(h, self.w_hh, self.b_hh).chunk(3, 1)
            z = torch.sigmoid(zi + zh)
            n = torch.tanh(ni + torch.sigmoid(ri + rh) * nh)
            h = n + z * (h - n)
            outs.append(h)
        return torch.stack(outs, 1)


class GRUSeparateGates(nn.Module):
    """GRU with a linear for each gate over the concatenation; zeros by torch.zeros(B, H)."""

    def __init__(self, features: int, hidden: int, out: int) -> None:
        super().__init__()
        self.hidden_size = hidden
        self.update = nn.Linear(features + hidden, hidden)
        self.reset = nn.Linear(features + hidden, hidden)
        self.candidate = nn.Linear(features + hidden, hidden)
        self.readout = nn.Linear(hidden, out)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, out]."""
        h_t = torch.zeros(x.size(0), self.hidden_size, device=x.device, dtype=x.dtype)
        hidden_seq = []
        for t in range(x.size(1)):
            combined = torch.cat((x[:, t, :], h_t), dim=1)
            z_t = torch.sigmoid(self.update(combined))
            r_t = torch.sigmoid(self.reset(combined))
            g_t = torch.tanh(self.candidate(torch.cat((x[:, t, :], r_t * h_t), dim=1)))
            h_t = (1 - z_t) * h_t + z_t * g_t
            hidden_seq.append(h_t.unsqueeze(1))
        y: Tensor = self.readout(torch.cat(hidden_seq, dim=1))
        return y


class LSTMTupleState(nn.Module):
    """LSTM whose state is one tuple, handed to a method a step."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Linear(features + hidden, 4 * hidden)

    def cell(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """x [B, F] and the state, two of [B, H], to the next state."""
        h, c = state
        i, f, g, o = self.gates(torch.cat([x, h], -1)).chunk(4, -1)
        c = torch.sigmoid(f + 1.0) * c + i.sigmoid() * g.tanh()
        return torch.sigmoid(o) * torch.tanh(c), c

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        state = (x.new_zeros(len(x), self.hidden), x.new_zeros(len(x), self.hidden))
        outs = []
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
            outs.append(state[0])
        return torch.stack(outs, dim=1)


class LSTMDictState(nn.Module):
    """LSTM whose state is a local dict, its entries replaced a step."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.proj_x = nn.Linear(features, 4 * hidden)
        self.proj_h = nn.Linear(hidden, 4 * hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, 2H]: hidden and cell."""
        zero = torch.zeros(x.size(0), self.hidden)
        state: dict[str, Tensor] = {"h": zero, "c": zero}
        gates_x = self.proj_x(x)
        outs = []
        for t in range(x.size(1)):
            i, f, o, g = torch.split(gates_x[:, t] + self.proj_h(state["h"]), self.hidden, dim=1)
            state["c"] = f.sigmoid() * state["c"] + i.sigmoid() * g.tanh()
            state["h"] = o.sigmoid() * state["c"].tanh()
            outs.append(torch.cat([state["h"], state["c"]], 1))
        return torch.stack(outs, 1)


class RNNListOfLayers(nn.Module):
    """Elman network of three layers, their states in a local list; zeros by zeros_like."""

    def __init__(self, features: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Linear(features, hidden)
        self.ih = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(layers)])
        self.hh = nn.ModuleList([nn.Linear(hidden, hidden, bias=False) for _ in range(layers)])

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        e = self.embed(x)
        hs = [torch.zeros_like(e[:, 0])] * len(self.ih)
        outs = []
        for t in range(x.size(1)):
            inp = e[:, t]
            for layer, (ih, hh) in enumerate(zip(self.ih, self.hh, strict=True)):
                hs[layer] = torch.tanh(ih(inp) + hh(hs[layer]))
                inp = hs[layer]
            outs.append(inp)
        return torch.stack(outs, 1)


class StartThroughLinear(nn.Module):
    """Elman network that starts from F.linear(zeros), that is tanh of a bias."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.init = nn.Linear(hidden, hidden)
        self.ih = nn.Linear(features, hidden)
        self.hh = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        zeros = x.new_zeros(x.size(0), self.init.in_features)
        h = torch.tanh(F.linear(zeros, self.init.weight, self.init.bias))
        outs = []
        for t in range(x.size(1)):
            h = torch.relu(self.ih(x[:, t]) + self.hh(h)).clamp(max=4.0)
            outs.append(h)
        return torch.stack(outs, 1)


class LearnedStartGRU(nn.Module):
    """GRU that starts from a learned parameter, expanded over the batch."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.h0 = nn.Parameter(torch.randn(1, hidden) * 0.5)
        self.x2h = nn.Linear(features, 3 * hidden)
        self.h2h = nn.Linear(hidden, 3 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]: the state before each step's input."""
        h = self.h0.expand(x.size(0), -1)
        outs = []
        for t in range(x.size(1)):
            outs.append(h)
            xr, xz, xn = self.x2h(x[:, t]).chunk(3, -1)
            hr, hz, hn = self.h2h(h).chunk(3, -1)
            z = torch.sigmoid(xz + hz)
            h = z * h + (1 - z) * torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
        return torch.stack(outs, 1)


class BufferStartLSTM(nn.Module):
    """LSTM that starts from buffers, repeated over the batch."""

    start_h: Tensor
    start_c: Tensor

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.register_buffer("start_h", torch.linspace(-0.5, 0.5, hidden))
        self.register_buffer("start_c", torch.full((hidden,), 0.25))
        self.cell_in = nn.Linear(features + hidden, 4 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = self.start_h.repeat(x.size(0), 1)
        c = self.start_c.unsqueeze(0).repeat(x.size(0), 1)
        outs = []
        for x_t in x.unbind(1):
            gates = self.cell_in(torch.cat((x_t, h), 1)).view(x.size(0), 4, -1)
            i, f, o = gates[:, :3].sigmoid().unbind(1)
            c = f * c + i * gates[:, 3].tanh()
            h = o * c.tanh()
            outs.append(h)
        return torch.stack(outs, 1)


class OnesStartMGU(nn.Module):
    """Minimal gated unit, one gate, that starts from ones."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.forget = nn.Linear(features + hidden, hidden)
        self.memory = nn.Linear(features + hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = torch.ones(x.shape[0], self.hidden, dtype=x.dtype, device=x.device)
        outs = []
        for t in range(x.shape[1]):
            f = torch.sigmoid(self.forget(torch.cat([h, x[:, t]], dim=-1)))
            n = torch.tanh(self.memory(torch.cat([f * h, x[:, t]], dim=-1)))
            h = torch.lerp(h, n, f)
            outs += [h]
        return torch.stack(outs, 1)


class EmbeddingStartRNN(nn.Module):
    """RNN that starts from row 0 of a learned embedding, looked up for each row of the batch."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.starts = nn.Embedding(3, hidden)
        self.inp = nn.Linear(features, hidden)
        self.rec = nn.Linear(hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = self.starts(torch.zeros(x.size(0), dtype=torch.long, device=x.device))
        outs = []
        for t in range(x.size(1)):
            h = torch.tanh(self.inp(x[:, t]) + self.rec(h))
            outs.append(h)
        return torch.stack(outs, 1)


class Slots(NamedTuple):  # the states of the cell below
    fast: Tensor
    slow: Tensor


class NamedTupleState(nn.Module):
    """Two leaky states of different speed in a named tuple, replaced with _replace."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.inp = nn.Linear(features, hidden)
        self.mix = nn.Linear(2 * hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        z = torch.zeros_like(self.inp(x[:, 0]))
        s = Slots(z, z)
        outs = []
        for x_t in x.unbind(1):
            s = s._replace(fast=0.5 * s.fast + 0.5 * torch.tanh(self.inp(x_t)))
            s = s._replace(slow=s.slow + 0.05 * (s.fast - s.slow))
            outs.append(self.mix(torch.cat(s, 1)))
        return torch.stack(outs, 1)


X = inputs(floats(4))
CASES: dict[str, Case] = {
    "gru_fused_weights": Case(lambda: GRUFusedWeights(4, 6), X, "step", "one state of zeros"),
    "gru_separate_gates": Case(lambda: GRUSeparateGates(4, 5, 3), X, "step", "one state of zeros"),
    "lstm_tuple_state": Case(lambda: LSTMTupleState(4, 6), X, "step", "two states in a tuple"),
    "lstm_dict_state": Case(lambda: LSTMDictState(4, 5), X, "step", "one zero starts two states"),
    "rnn_list_of_layers": Case(lambda: RNNListOfLayers(4, 5, 3), X, "step", "states in a list"),
    "start_through_linear": Case(lambda: StartThroughLinear(4, 6), X, "step", "computed start"),
    "learned_start_gru": Case(lambda: LearnedStartGRU(4, 6), X, "step", "output before the update"),
    "buffer_start_lstm": Case(lambda: BufferStartLSTM(4, 5), X, "step", "starts are buffers"),
    "ones_start_mgu": Case(lambda: OnesStartMGU(4, 6), X, "step", "start of ones"),
    "embedding_start_rnn": Case(lambda: EmbeddingStartRNN(4, 6), X, "step", "start looked up"),
    "named_tuple_state": Case(lambda: NamedTupleState(4, 6), X, "step", "two states"),
}
