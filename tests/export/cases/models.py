# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules as people write them, each with its own way to keep state."""

from typing import NamedTuple

import torch
from torch import nn

Pair = tuple[torch.Tensor, torch.Tensor]


class Explicit(nn.Module):
    """Takes and returns its state, None at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, state: Pair | None = None) -> tuple[torch.Tensor, Pair]:
        out, state = self.lstm(x, state)
        return self.fc(out), state


class RequiredState(nn.Module):
    """Takes h and c as two arguments that it cannot do without."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(
        self, x: torch.Tensor, h0: torch.Tensor, c0: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        out, (h, c) = self.lstm(x, (h0, c0))
        return out, h, c


class BatchFirstState(nn.Module):
    """Keeps its state as (B, L, H), as many exported models do."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, 2, batch_first=True)

    def forward(self, x: torch.Tensor, cache: torch.Tensor) -> Pair:
        out, h = self.gru(x, cache.transpose(0, 1).contiguous())
        return out, h.transpose(0, 1)


class HandWrittenCell(nn.Module):
    """A recurrence without any recurrent layer: one frame a call."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(6 + 8, 8)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> Pair:
        h = torch.tanh(self.mix(torch.cat((x, h), dim=-1)))
        return h * 2, h


class HandWrittenLoop(HandWrittenCell):
    """The same over a sequence, in a Python loop."""

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> Pair:
        outputs = []
        for step in x.unbind(1):
            h = torch.tanh(self.mix(torch.cat((step, h), dim=-1)))
            outputs.append(h * 2)
        return torch.stack(outputs, dim=1), h


class TwoLayers(nn.Module):
    """Two recurrent layers of different kinds, both with hidden state."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.GRU(6, 8, batch_first=True)
        self.head = nn.LSTM(8, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.encoder(x)
        out, _ = self.head(out)
        return out


class LearnedStart(nn.Module):
    """Starts at a parameter, the same for every row."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)
        self.h0 = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.gru(x, self.h0.expand(-1, x.size(0), -1).contiguous())
        return out


class ComputedStart(nn.Module):
    """Starts at something made from the first frame."""

    def __init__(self) -> None:
        super().__init__()
        self.start = nn.Linear(6, 8)
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.gru(x, self.start(x[:, 0])[None])
        return out


class EncoderDecoder(nn.Module):
    """A decoder that starts where its encoder ended."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(6, 8, batch_first=True)
        self.decoder = nn.LSTM(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, state = self.encoder(x)
        out, _ = self.decoder(x, state)
        return out


class CellLoop(nn.Module):
    """A cell stepped over the sequence in a Python loop."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(6, 8)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = c = x.new_zeros(x.size(0), 8)
        outputs = []
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
            outputs.append(self.fc(h))
        return torch.stack(outputs, dim=1)


class LastOfLoop(CellLoop):
    """The same, answering once, after the last step."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = c = x.new_zeros(x.size(0), 8)
        for t in range(x.size(1)):
            h, c = self.cell(x[:, t], (h, c))
        return self.fc(h)


class SteppedLayer(nn.Module):
    """nn.LSTM called once per time step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state, outputs = None, []
        for t in range(x.size(1)):
            out, state = self.lstm(x[:, t : t + 1], state)
            outputs.append(out)
        return torch.cat(outputs, dim=1)


class AttributeState(nn.Module):
    """Carries its state from call to call in an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)
        self.hidden: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, self.hidden = self.gru(x, self.hidden)
        return out


class DualPath(nn.Module):
    """One layer runs within a frame (rows B*T), one along time (rows B*bands)."""

    def __init__(self) -> None:
        super().__init__()
        self.within = nn.GRU(4, 4, batch_first=True)
        self.along = nn.GRU(4, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, 5, 4) gives the same."""
        b, t, k, f = x.shape
        inner, _ = self.within(x.reshape(b * t, k, f))
        x = inner.reshape(b, t, k, f)
        outer, _ = self.along(x.transpose(1, 2).reshape(b * k, t, f))
        return outer.reshape(b, k, t, f).transpose(1, 2)


class SameNames(nn.Module):
    """A state that goes in and comes out under one name, in a named tuple."""

    class Answer(NamedTuple):
        """What forward returns."""

        x: torch.Tensor
        h: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> "SameNames.Answer":
        out, h = self.gru(x, h)
        return SameNames.Answer(out, h)


class OptionalBatchFirst(BatchFirstState):
    """The same, its state optional: the layer inside is driven by it, not hidden."""

    def forward(self, x: torch.Tensor, cache: torch.Tensor | None = None) -> Pair:
        if cache is None:
            cache = x.new_zeros(x.size(0), 2, 8)
        return super().forward(x, cache)


class LearnedOptional(LearnedStart):
    """Takes and returns its state, and starts at a parameter when none is given."""

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, h: torch.Tensor | None = None
    ) -> Pair:
        if h is None:
            h = self.h0.expand(-1, x.size(0), -1).contiguous()
        return self.gru(x, h)


class ReturnsState(nn.Module):
    """Returns its final state and takes none."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out, (h, _) = self.lstm(x)
        return out, h


class Decoder(nn.Module):
    """Takes the state of somebody else's encoder and keeps its own to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        return self.gru(x, start)[0]


class CellStack(nn.Module):
    """Two cells, one frame a call, their states in a list of pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.LSTMCell(6, 8)
        self.high = nn.LSTMCell(8, 5)

    def forward(self, x: torch.Tensor, states: list[Pair]) -> tuple[torch.Tensor, list[Pair]]:
        low = self.low(x, states[0])
        high = self.high(low[0], states[1])
        return high[0], [low, high]


class Recommender(nn.Module):
    """One item id a call, the state time-major, as session-based recommenders have it."""

    def __init__(self) -> None:
        super().__init__()
        self.items = nn.Embedding(20, 6)
        self.gru = nn.GRU(6, 8)
        self.scores = nn.Linear(8, 20)

    def forward(self, item: torch.Tensor, hidden: torch.Tensor) -> Pair:
        out, hidden = self.gru(self.items(item)[None], hidden)
        return self.scores(out[0]), hidden


class ChannelsFirst(TwoLayers):
    """Takes (B, F, T) and answers so."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.transpose(1, 2)).transpose(1, 2)
