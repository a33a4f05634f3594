"""Mixtures: library layers with hand-written states, tokens, masks, several inputs, decoders."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.export.lifting.case import Case, fixed, floats, inputs, mask, tokens


class LSTMThenSmoothing(nn.Module):
    """nn.LSTM without a state, then an exponential mean by hand over its outputs."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, batch_first=True)
        self.alpha = nn.Parameter(torch.randn(hidden))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        y, _ = self.lstm(x)
        s = torch.zeros_like(y[:, 0])
        alpha = torch.sigmoid(self.alpha)
        outs = []
        for t in range(y.size(1)):
            s = alpha * s + (1 - alpha) * y[:, t]
            outs.append(s)
        return torch.stack(outs, 1)


class GRUThenForecast(nn.Module):
    """nn.GRU of two layers, then a level and a trend by hand; the last forecast alone."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.gru = nn.GRU(features, hidden, num_layers=2, batch_first=True)
        self.observe = nn.Linear(hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, 2]."""
        observed = self.observe(self.gru(x)[0])
        level = trend = x.new_zeros(x.size(0), 2)
        for o in observed.unbind(1):
            before = level
            level = 0.4 * o + 0.6 * (level + trend)
            trend = 0.2 * (level - before) + 0.8 * trend
        return level + 3 * trend


class CellThenConv(nn.Module):
    """A GRUCell loop, then a causal convolution over its states."""

    def __init__(self, features: int, hidden: int, out: int) -> None:
        super().__init__()
        self.cell = nn.GRUCell(features, hidden)
        self.conv = nn.Conv1d(hidden, out, 3, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, out]."""
        hx = torch.zeros(x.shape[0], self.cell.hidden_size)
        hs = []
        for i in range(x.shape[1]):
            hx = self.cell(x[:, i], hx)
            hs.append(hx)
        y: Tensor = self.conv(F.pad(torch.stack(hs, 2), (4, 0)))
        return y.transpose(1, 2)


class LSTMOverCumsum(nn.Module):
    """nn.LSTM over positions that are the cumsum of the increments, beside the increments."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2 * features, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        path = torch.cumsum(0.1 * x, dim=1)
        out, (_h, _c) = self.lstm(torch.cat([x, path], dim=-1))
        y: Tensor = path + self.fc(out)
        return y


class TokenRNN(nn.Module):
    """Character model: tokens through an embedding into a hand-written GRU, log-probabilities."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.gates = nn.Linear(2 * width, 2 * width)
        self.candidate = nn.Linear(2 * width, width)
        self.decoder = nn.Linear(width, vocabulary)
        self.decoder.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, T] int64 to [B, T, vocabulary]."""
        e = self.embedding(tokens)
        h = e.new_zeros(e.size(0), e.size(2))
        outs = []
        for t in range(tokens.size(1)):
            r, z = self.gates(torch.cat([e[:, t], h], 1)).sigmoid().chunk(2, 1)
            n = self.candidate(torch.cat([e[:, t], r * h], 1)).tanh()
            h = z * h + (1 - z) * n
            outs.append(F.log_softmax(self.decoder(h), dim=1))
        return torch.stack(outs, 1)


class TwoInputsFusion(nn.Module):
    """World-model-like: observations and actions of different width into one state."""

    def __init__(self, observation: int, action: int, hidden: int) -> None:
        super().__init__()
        self.prior = nn.GRUCell(action, hidden)
        self.post = nn.Linear(hidden + observation, hidden)

    def forward(self, obs: Tensor, act: Tensor) -> Tensor:
        """obs [B, T, O] and act [B, T, A] to [B, T, 2H]: prior and posterior."""
        h = obs.new_zeros(obs.size(0), self.prior.hidden_size)
        outs = []
        for o, a in zip(obs.unbind(1), act.unbind(1), strict=True):
            prior = self.prior(a, h)
            h = torch.tanh(self.post(torch.cat([prior, o], 1)))
            outs.append(torch.cat([prior, h], 1))
        return torch.stack(outs, 1)


class MaskHolds(nn.Module):
    """LSTM cell whose state holds where the mask is zero."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(features, hidden)

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        """x [B, T, F] and m [B, T] to [B, T, H]."""
        h = c = x.new_zeros(x.size(0), self.cell.hidden_size)
        outs = []
        for t in range(x.size(1)):
            keep = m[:, t].unsqueeze(1)
            new_h, new_c = self.cell(x[:, t], (h, c))
            h, c = keep * new_h + (1 - keep) * h, keep * new_c + (1 - keep) * c
            outs.append(h * keep)
        return torch.stack(outs, 1)


class EpisodeReset(nn.Module):
    """Actor of reinforcement learning: the state is cleared where an episode begins."""

    def __init__(self, features: int, hidden: int, actions: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(features, hidden), nn.ELU())
        self.cell = nn.GRUCell(hidden, hidden)
        self.start = nn.Parameter(torch.randn(hidden))
        self.policy = nn.Linear(hidden, actions)

    def forward(self, x: Tensor, first: Tensor) -> Tensor:
        """x [B, T, F] and first [B, T] of zeros and ones to [B, T, actions]."""
        z = self.encoder(x)
        h = self.start.repeat(x.size(0), 1)
        logits = []
        for t in range(x.size(1)):
            h = torch.where(first[:, t, None].bool(), self.start, h)
            h = self.cell(z[:, t], h)
            logits.append(self.policy(h))
        return F.softmax(torch.stack(logits, 1), dim=-1)


class PositionTable(nn.Module):
    """A learned table of 64 positions by arange(T), then a hand-written RNN; 64 steps at most."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.positions = nn.Embedding(64, features)
        self.cell = nn.RNNCell(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F], T up to 64, to [B, T, H]."""
        x = x + self.positions(torch.arange(x.size(1), device=x.device)).unsqueeze(0)
        h = x.new_zeros(x.size(0), self.cell.hidden_size)
        outs = []
        for x_t in x.unbind(1):
            h = self.cell(x_t, h)
            outs.append(h)
        return torch.stack(outs, 1)


class SinusoidPositions(nn.Module):
    """Sinusoids by arange(T) on top of a running mean: a counter and a sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.ff = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W], W even, to [B, T, W]."""
        position = torch.arange(x.size(1), dtype=x.dtype, device=x.device).unsqueeze(1)
        rate = torch.exp(torch.arange(0, self.width, 2) * (-math.log(1e4) / self.width))
        table = torch.stack([torch.sin(position * rate), torch.cos(position * rate)], -1).flatten(1)
        y: Tensor = self.ff(x.cumsum(1) / (position + 1)) + table
        return y


class TeacherDecoder(nn.Module):
    """Caption-like decoder under teacher forcing: a fixed context beside each target token."""

    def __init__(self, vocabulary: int, width: int, context: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.cell = nn.LSTMCell(width + context, 2 * width)
        self.out = nn.Linear(2 * width, vocabulary)

    def forward(self, targets: Tensor, context: Tensor) -> Tensor:
        """targets [B, T] int64 and context [B, C] to [B, T, vocabulary]."""
        h = c = context.new_zeros(context.size(0), self.cell.hidden_size)
        outs = []
        for word in self.embed(targets).unbind(1):
            h, c = self.cell(torch.cat([word, context], -1), (h, c))
            outs.append(self.out(h))
        return torch.stack(outs, dim=1)


class GreedyDecoder(nn.Module):
    """Encodes by hand, then decodes five tokens of its own choice from the last state."""

    def __init__(self, features: int, hidden: int, vocabulary: int) -> None:
        super().__init__()
        self.encoder = nn.GRUCell(features, hidden)
        self.embed = nn.Embedding(vocabulary, hidden)
        self.decoder = nn.GRUCell(hidden, hidden)
        self.out = nn.Linear(hidden, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, 5, vocabulary]."""
        h = x.new_zeros(x.size(0), self.encoder.hidden_size)
        for x_t in x.unbind(1):
            h = self.encoder(x_t, h)
        word = torch.zeros(x.size(0), dtype=torch.long)
        logits = []
        for _ in range(5):
            h = self.decoder(self.embed(word), h)
            logits.append(self.out(h))
            word = logits[-1].argmax(-1)
        return torch.stack(logits, 1)


XM = inputs(floats(4), mask(), batch=3)
X = inputs(floats(4), steps=6)
CASES: dict[str, Case] = {
    "lstm_then_smoothing": Case(lambda: LSTMThenSmoothing(4, 6), X, "step", "a layer and a state"),
    "gru_then_forecast": Case(lambda: GRUThenForecast(4, 6), X, "last", "layers and two states"),
    "cell_then_conv": Case(lambda: CellThenConv(4, 6, 3), X, "step", "a state and a window"),
    "lstm_over_cumsum": Case(lambda: LSTMOverCumsum(4, 6), X, "step", "a sum and a layer"),
    "token_rnn": Case(lambda: TokenRNN(11, 5), inputs(tokens(11)), "step", "int64 input"),
    "two_inputs_fusion": Case(
        lambda: TwoInputsFusion(4, 2, 5), inputs(floats(4), floats(2)), "step", "two inputs"
    ),
    "mask_holds": Case(lambda: MaskHolds(4, 6), XM, "step", "a mask input"),
    "episode_reset": Case(lambda: EpisodeReset(4, 6, 3), XM, "step", "starts anew by an input"),
    "position_table": Case(
        lambda: PositionTable(4, 6), X, "step", "counter up to 64", lengths=(1, 2, 3, 17, 64)
    ),
    "sinusoid_positions": Case(lambda: SinusoidPositions(4), X, "step", "a counter and a sum"),
    "teacher_decoder": Case(
        lambda: TeacherDecoder(9, 4, 3),
        inputs(tokens(9), fixed(3)),
        "step",
        "a second input without time",
        static=(1,),
    ),
    "greedy_decoder": Case(
        lambda: GreedyDecoder(4, 6, 8), X, "last", "decodes from the last state"
    ),
}
