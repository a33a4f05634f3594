"""Variants of gated cells: normalised, peephole, parallel-friendly, zoneout, hypernetwork."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs


class LayerNormGRU(nn.Module):
    """GRU with a layer norm on both projections, of the reset part and the candidate apart."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.ih = nn.Linear(features, 3 * hidden, bias=False)
        self.hh = nn.Linear(hidden, 3 * hidden, bias=False)
        self.ln_ih = nn.LayerNorm(3 * hidden)
        self.ln_hh = nn.LayerNorm(2 * hidden)
        self.ln_n = nn.LayerNorm(hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.hidden)
        gates_x = self.ln_ih(self.ih(x))
        outs = []
        for gx in gates_x.unbind(dim=1):
            xrz, xn = gx.split([2 * self.hidden, self.hidden], dim=-1)
            hrz, hn = self.hh(h).split([2 * self.hidden, self.hidden], dim=-1)
            r, z = torch.sigmoid(xrz + self.ln_hh(hrz)).chunk(2, dim=-1)
            n = torch.tanh(xn + r * self.ln_n(hn))
            h = z * h + (1 - z) * n
            outs.append(h)
        return torch.stack(outs, dim=1)


class PeepholeLSTM(nn.Module):
    """LSTM whose gates look at the cell state, the output gate at the new one."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features + hidden, 4 * hidden)
        self.p_i = nn.Parameter(torch.randn(hidden) * 0.3)
        self.p_f = nn.Parameter(torch.randn(hidden) * 0.3)
        self.p_o = nn.Parameter(torch.randn(hidden) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = c = torch.zeros(x.size(0), self.p_i.numel()).to(x)
        outs: list[Tensor] = []
        for t in range(x.size(1)):
            i, f, g, o = self.linear(torch.cat((x[:, t], h), 1)).chunk(4, 1)
            i = torch.sigmoid(i + self.p_i * c)
            f = torch.sigmoid(f + self.p_f * c)
            c = f * c + i * torch.tanh(g)
            h = torch.sigmoid(o + self.p_o * c) * torch.tanh(c)
            outs.append(h)
        return torch.stack(outs, 1)


class LightGRU(nn.Module):
    """Li-GRU: no reset gate, ReLU candidate, batch norm on the projections of all the steps."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.w = nn.Linear(features, 2 * hidden, bias=False)
        self.u = nn.Linear(hidden, 2 * hidden, bias=False)
        self.norm = nn.BatchNorm1d(2 * hidden, momentum=0.05)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        w = self.w(x)
        w = self.norm(w.reshape(w.shape[0] * w.shape[1], w.shape[2])).reshape(w.shape)
        ht = torch.zeros(1, self.hidden, device=x.device)
        hiddens = []
        for k in range(w.shape[1]):
            at, zt = (w[:, k] + self.u(ht)).chunk(2, 1)
            zt = torch.sigmoid(zt)
            ht = zt * ht + (1 - zt) * torch.relu(at)
            hiddens.append(ht)
        return torch.stack(hiddens, dim=1)


class MinimalRNN(nn.Module):
    """MinimalRNN: the input is mapped to a latent first, one gate mixes it with the state."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.phi = nn.Sequential(nn.Linear(features, hidden), nn.Tanh())
        self.u = nn.Linear(2 * hidden, hidden)
        nn.init.constant_(self.u.bias, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        z = self.phi(x)
        h = torch.zeros_like(z[:, 0])
        outs = []
        for t in range(z.size(1)):
            u = torch.sigmoid(self.u(torch.cat([h, z[:, t]], -1)))
            h = u * h + (1.0 - u) * z[:, t]
            outs.append(h)
        return torch.stack(outs, 1)


class SimpleRecurrentUnit(nn.Module):
    """SRU, two layers: one matrix product over all the steps, then an elementwise walk."""

    def __init__(self, features: int, layers: int) -> None:
        super().__init__()
        self.weights = nn.ModuleList([nn.Linear(features, 3 * features) for _ in range(layers)])
        self.v = nn.Parameter(torch.randn(layers, 2, features) * 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        for layer, weight in enumerate(self.weights):
            u, uf, ur = weight(x).chunk(3, -1)
            vf, vr = self.v[layer]
            c = x.new_zeros(x.size(0), x.size(2))
            hs = []
            for t in range(x.size(1)):
                f = torch.sigmoid(uf[:, t] + vf * c)
                r = torch.sigmoid(ur[:, t] + vr * c)
                c = f * c + (1 - f) * u[:, t]
                hs.append(r * c + (1 - r) * x[:, t])
            x = torch.stack(hs, 1)
        return x


class QuasiRNN(nn.Module):
    """QRNN with window 2 and fo-pooling: a causal convolution, then a walk."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(features, 3 * hidden, kernel_size=2)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        y = self.conv(F.pad(x.transpose(1, 2), (1, 0))).transpose(1, 2)
        z, f, o = y.chunk(3, dim=2)
        z, f, o = z.tanh(), f.sigmoid(), o.sigmoid()
        c: Tensor | None = None
        outs = []
        for t in range(x.size(1)):
            fresh = (1 - f[:, t]) * z[:, t]
            c = fresh if c is None else f[:, t] * c + fresh
            outs.append(o[:, t] * c)
        return torch.stack(outs, dim=1)


class ResidualIndRNN(nn.Module):
    """IndRNN, a vector as the recurrent weight, in residual layers with layer norms."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(layers)])
        self.inputs = nn.ModuleList([nn.Linear(width, width) for _ in range(layers)])
        self.recurrent = nn.ParameterList(
            [nn.Parameter(torch.rand(width) * 0.9) for _ in range(layers)]
        )

    def walk(self, a: Tensor, u: Tensor) -> Tensor:
        """The projected inputs a [B, T, H] and the weights u [H] to the states [B, T, H]."""
        h = torch.zeros_like(a.select(1, 0))
        outs = []
        for t in range(a.shape[1]):
            h = F.relu(a[:, t] + u * h)
            outs.append(h)
        return torch.stack(outs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, H] to [B, T, H]."""
        for norm, inp, u in zip(self.norms, self.inputs, self.recurrent, strict=True):
            x = x + self.walk(inp(norm(x)), u)
        return x


class ZoneoutLSTM(nn.Module):
    """LSTM with zoneout: random keeps in training, the expected mix of old and new in eval."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(features, hidden)
        self.rate = 0.15

    def zone(self, old: Tensor, new: Tensor) -> Tensor:
        """Old and new [B, H] to the kept mix [B, H]."""
        if self.training:
            return torch.where(torch.rand_like(new) < self.rate, old, new)
        return self.rate * old + (1 - self.rate) * new

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        h = x.new_zeros(x.size(0), self.cell.hidden_size)
        c = h.clone()
        outs = []
        for t in range(x.size(1)):
            new_h, new_c = self.cell(x[:, t], (h, c))
            h, c = self.zone(h, new_h), self.zone(c, new_c)
            outs.append(h)
        return torch.stack(outs, 1)


class HyperRNN(nn.Module):
    """Hypernetwork: a small cell makes the row scales of the main cell's weights each step."""

    def __init__(self, features: int, hidden: int, hyper: int) -> None:
        super().__init__()
        self.hyper = nn.GRUCell(features + hidden, hyper)
        self.scale = nn.Linear(hyper, 2 * hidden)
        self.wx = nn.Linear(features, hidden, bias=False)
        self.wh = nn.Linear(hidden, hidden, bias=False)
        self.bias = nn.Linear(hyper, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        main = x.new_zeros(x.size(0), self.wh.in_features)
        hyper = x.new_zeros(x.size(0), self.hyper.hidden_size)
        outs = []
        for t in range(x.size(1)):
            hyper = self.hyper(torch.cat([x[:, t], main], 1), hyper)
            dx, dh = self.scale(hyper).chunk(2, 1)
            main = torch.tanh(dx * self.wx(x[:, t]) + dh * self.wh(main) + self.bias(hyper))
            outs.append(main)
        return torch.stack(outs, 1)


class CoupledLSTMClassifier(nn.Module):
    """LSTM with its input gate tied to the forget gate; logits of the last state alone."""

    def __init__(self, features: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Linear(features + hidden, 3 * hidden)
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(hidden, classes))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, classes]."""
        h, c = (torch.zeros(x.size(0), self.hidden, device=x.device) for _ in range(2))
        for t in range(x.size(1)):
            f, g, o = self.gates(torch.cat([x[:, t], h], dim=1)).chunk(3, dim=1)
            f = torch.sigmoid(f)
            c = f * c + (1 - f) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        logits: Tensor = self.head(h)
        return logits


X = inputs(floats(4))
X5 = inputs(floats(5))
CASES: dict[str, Case] = {
    "layer_norm_gru": Case(lambda: LayerNormGRU(4, 6), X, "step", "norms are over features"),
    "peephole_lstm": Case(lambda: PeepholeLSTM(4, 6), X, "step", "two states of one zero"),
    "light_gru": Case(lambda: LightGRU(4, 6), X, "step", "start [1, H] broadcasts to the batch"),
    "minimal_rnn": Case(lambda: MinimalRNN(4, 6), X, "step", "one state of zeros"),
    "simple_recurrent_unit": Case(
        lambda: SimpleRecurrentUnit(5, 2),
        X5,
        "step",
        "a state a layer, layer by layer",
    ),
    "quasi_rnn": Case(lambda: QuasiRNN(4, 6), X, "step", "last input and a cell, None at start"),
    "residual_indrnn": Case(lambda: ResidualIndRNN(5, 3), X5, "step", "three states of one line"),
    "zoneout_lstm": Case(lambda: ZoneoutLSTM(4, 6), X, "step", "expectation in eval"),
    "hyper_rnn": Case(lambda: HyperRNN(4, 6, 3), X, "step", "two states of different size"),
    "coupled_lstm_classifier": Case(
        lambda: CoupledLSTMClassifier(4, 6, 3), X, "last", "last state"
    ),
}
