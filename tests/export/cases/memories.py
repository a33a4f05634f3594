# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules whose state an exporter does not see for one: by its name, its shape or its way in."""

import torch
from torch import nn

from tests.export.cases.models import Pair

Triple = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class Ignored(nn.Module):
    """One unbatched frame (4,) and a memory (8,) that starts the GRU: nothing of it varies."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 8)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        return self.gru(x.view(1, 1, 4), torch.tanh(memory).view(1, 1, 8))[0].view(8)


class IgnoredCell(nn.Module):
    """The same with a cell, the memory scaled without a bias, both with one row."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(8, 8, bias=False)
        self.gru = nn.GRU(4, 8)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        return self.gru(x.reshape(1, 1, 4), self.start(memory).reshape(1, 1, 8))[0].reshape(1, 8)


class IgnoredPair(nn.Module):
    """A memory of h and c together, (16,)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        h, c = memory.clamp(-1, 1).view(2, 1, 1, 8)
        return self.lstm(x.view(1, 1, 4), (h, c))[0].view(8)


class IgnoredSpeaker(nn.Module):
    """A speaker's number whose embedding starts the GRU; that of speaker 0 is all zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.speakers = nn.Embedding(5, 8, padding_idx=0)
        self.gru = nn.GRU(4, 8, batch_first=True)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        return self.gru(x.view(1, 3, 4), self.speakers(memory).view(1, 1, 8))[0].view(3, 8)


class Policy(nn.Module):
    """A recurrent policy: `masks` is 0 where an episode begins, and its state with it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8)
        self.value, self.action = nn.Linear(8, 1), nn.Linear(8, 4)

    def forward(
        self, inputs: torch.Tensor, rnn_hxs: torch.Tensor, masks: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x, hxs = self.gru(inputs[None], (rnn_hxs * masks)[None])
        return self.value(x[0]), self.action(x[0]), hxs[0]


class MaskedCell(nn.Module):
    """The same with a cell, its two states side by side in one tensor (B, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(6, 8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, rnn_hxs: torch.Tensor, masks: torch.Tensor) -> Pair:
        h, c = self.cell(x, (rnn_hxs * masks).chunk(2, 1))
        return self.fc(h), torch.cat((h, c), 1)


class Remembers(nn.Module):
    """A leaky memory (B, 8) by hand, one frame a call."""

    def __init__(self) -> None:
        super().__init__()
        self.write, self.fc = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> Pair:
        memory = 0.9 * memory + torch.tanh(self.write(x))
        return self.fc(memory), memory


class RemembersLayer(nn.Module):
    """A memory that a GRU takes after a turn of its axes, one frame a call."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(6, 8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, memory: torch.Tensor) -> Pair:
        y, memory = self.gru(x[:, None], torch.tanh(memory).transpose(0, 1).contiguous())
        return self.fc(y[:, 0]), memory.transpose(0, 1)


class ThreeRanks(nn.Module):
    """h and c (1, B, 8), and the frame before (B, 6), whose difference is what the LSTM reads."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8)

    def forward(
        self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, before: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        out, (h, c) = self.lstm((x - before)[None], (h, c))
        return out[0], h, c, x


class ThreeRanksConv(nn.Module):
    """h and c (1, B, 8), and the last three inputs of a causal convolution, (B, 6, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 6, 4)
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(
        self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor, tail: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        heard = torch.cat((tail, x[..., None]), 2)  # (B, 6, 4)
        out, (h, c) = self.lstm(self.conv(heard).transpose(1, 2), (h, c))
        return out[:, 0], h, c, heard[..., 1:]


class Matrix(nn.Module):
    """An mLSTM cell: a matrix C (B, 4, 4), a normaliser n (B, 4), a stabiliser m (B, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.gates = nn.Linear(6, 12), nn.Linear(6, 2)

    def forward(
        self, x: torch.Tensor, C: torch.Tensor, n: torch.Tensor, m: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        q, k, v = self.qkv(x).chunk(3, 1)
        i, f = self.gates(x).split(1, 1)
        top = torch.maximum(f + m, i)  # (B, 1)
        i, f = (i - top).exp(), (f + m - top).exp()
        C = f[..., None] * C + i[..., None] * v[..., None] * k[:, None]
        n = f * n + i * k
        down = (n * q).sum(1, keepdim=True).abs().clamp(min=1)
        return (C @ q[..., None])[..., 0] / down, C, n, top


class OnlyNewState(nn.Module):
    """A cell that gives back the new h and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(6, 8)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return self.cell(x, h)


class OnlyNewStateByHand(nn.Module):
    """The same without any layer, its state called otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(14, 8)

    def forward(self, x: torch.Tensor, prev: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.mix(torch.cat((x, prev), 1)))


class StatesOnly(nn.Module):
    """A cell that gives back (h, c), the new h being its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(6, 8)

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Pair:
        return self.cell(x, (h, c))


class StatesOnlyInPair(StatesOnly):
    """Takes them as a pair, and gives them back as a dict."""

    def forward(self, x: torch.Tensor, state: Pair) -> dict[str, torch.Tensor]:  # type: ignore[override]
        h, c = self.cell(x, state)
        return {"h": h, "c": c}


class StatesOnlyOfLayer(nn.Module):
    """Runs a whole sequence and gives back its final states alone."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Pair:
        return self.lstm(x, (h, c))[1]


class LoopOfMemory(nn.Module):
    """A loop by hand over (B, T, 6) with a memory that nothing calls a state."""

    def __init__(self) -> None:
        super().__init__()
        self.write, self.fc = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, kept: torch.Tensor) -> Pair:
        outputs = []
        for t in range(x.size(1)):
            kept = 0.9 * kept + torch.tanh(self.write(x[:, t]))
            outputs.append(self.fc(kept))
        return torch.stack(outputs, 1), kept


class TurnedMemory(nn.Module):
    """A GRU over (B, T, 6) whose memory is (B, 2, 8), turned for the layer; nothing calls it so."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, 2, batch_first=True)

    def forward(self, x: torch.Tensor, kept: torch.Tensor) -> Pair:
        y, kept = self.gru(x, kept.transpose(0, 1).contiguous())
        return y, kept.transpose(0, 1)


class Conditioned(nn.Module):
    """A GRU over (B, T, 6) beside a speaker's vector (B, 8), of which it gives back a summary."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, speaker: torch.Tensor) -> Pair:
        y = self.gru(x)[0] + speaker[:, None]
        return y, torch.tanh(speaker)
