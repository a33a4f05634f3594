# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Loops over time as libraries write them: `for t in range(x.size(1))`, the state returned."""

import torch
from torch import nn

from tests.export.cases.models import Pair


class Cfc(nn.Module):
    """A closed-form continuous-time cell (ncps), its state (B, 8) optional."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(6 + 8, 12)
        self.first, self.second = nn.Linear(12, 8), nn.Linear(12, 8)
        self.time_a, self.time_b = nn.Linear(12, 8), nn.Linear(12, 8)
        self.fc = nn.Linear(8, 3)

    def forward(self, input: torch.Tensor, hx: torch.Tensor | None = None) -> Pair:
        batch_size, seq_len = input.size(0), input.size(1)
        h_state = torch.zeros((batch_size, 8), device=input.device) if hx is None else hx
        output_sequence = []
        for t in range(seq_len):
            x = torch.tanh(self.backbone(torch.cat((input[:, t], h_state), 1)))
            gate = torch.sigmoid(self.time_a(x) + self.time_b(x))
            h_state = torch.tanh(self.first(x)) * (1.0 - gate) + gate * torch.tanh(self.second(x))
            output_sequence.append(self.fc(h_state))
        return torch.stack(output_sequence, dim=1), h_state


class Ltc(Cfc):
    """A liquid time-constant cell: a few solver steps inside each time step."""

    def forward(self, input: torch.Tensor, hx: torch.Tensor | None = None) -> Pair:
        h_state = torch.zeros(input.size(0), 8) if hx is None else hx
        output_sequence = []
        for t in range(input.size(1)):
            for _ in range(3):
                x = torch.sigmoid(self.backbone(torch.cat((input[:, t], h_state), 1)))
                h_state = (h_state + 0.3 * self.first(x)) / (1 + 0.3 * (1 + x[:, :8]))
            output_sequence.append(self.fc(h_state))
        return torch.stack(output_sequence, dim=1), h_state


class LiGru(nn.Module):
    """A light GRU (speechbrain): all inputs multiplied at once, then a loop; `hx` (1, B, 8)."""

    h_init: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.w, self.u = nn.Linear(6, 16, bias=False), nn.Linear(8, 16, bias=False)
        self.norm = nn.BatchNorm1d(16)
        self.register_buffer("h_init", torch.zeros(1, 8))

    def forward(self, x: torch.Tensor, hx: torch.Tensor | None = None) -> Pair:
        w = self.w(x)  # (B, T, 16)
        w = self.norm(w.reshape(w.shape[0] * w.shape[1], w.shape[2])).reshape(w.shape)
        ht = self.h_init.expand(x.size(0), 8) if hx is None else hx[0]
        hiddens = []
        for k in range(w.shape[1]):
            at, zt = (w[:, k] + self.u(ht)).chunk(2, 1)
            zt = torch.sigmoid(zt)
            ht = zt * ht + (1 - zt) * torch.relu(at)
            hiddens.append(ht)
        return torch.stack(hiddens, dim=1), ht[None]


class TwoLiGru(nn.Module):
    """Two of them, their states stacked (2, B, 8) as the library returns them."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = LiGru(), LiGru()
        self.between = nn.Linear(8, 6)

    def forward(self, x: torch.Tensor, hx: torch.Tensor | None = None) -> Pair:
        low, first = self.low(x, None if hx is None else hx[:1])
        high, second = self.high(self.between(low), None if hx is None else hx[1:])
        return high, torch.cat((first, second))


class TimeFirst(Cfc):
    """The first one with time in front, (T, B, 6)."""

    def forward(self, input: torch.Tensor, hx: torch.Tensor | None = None) -> Pair:
        output, hx = super().forward(input.transpose(0, 1), hx)
        return output.transpose(0, 1), hx


class Mixed(nn.Module):
    """A recurrent layer of torch's own in front of a loop by hand, the loop's state returned."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 6, batch_first=True)
        self.cfc = Cfc()

    def forward(self, x: torch.Tensor, hx: torch.Tensor | None = None) -> Pair:
        return self.cfc(self.gru(x)[0], hx)


class Preallocated(Cfc):
    """Writes each step into an output made beforehand."""

    def forward(self, input: torch.Tensor, hx: torch.Tensor | None = None) -> Pair:
        h = torch.zeros(input.size(0), 8) if hx is None else hx
        output = torch.empty(input.size(0), input.size(1), 8)
        for t in range(input.size(1)):
            h = torch.tanh(self.first(self.backbone(torch.cat((input[:, t], h), 1))))
            output[:, t] = h
        return output, h
