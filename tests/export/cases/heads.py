# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""What people make of the output of a layer that hides its state."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class LastStep(nn.Module):
    """Throws its state away and reads the last time step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, 2, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(x)
        return self.fc(out[:, -1])


class MaxPool(LastStep):
    """Reads the largest value over time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(x)
        return self.fc(out.max(dim=1).values)


class MeanPool(LastStep):
    """Averages over time, padding included."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(x)
        return self.fc(out.mean(dim=1))


class FinalState(LastStep):
    """Reads the final hidden state of the upper layer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (h, _) = self.lstm(x)
        return self.fc(h[-1])


class Packs(nn.Module):
    """Packs its input by the lengths that it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, _ = self.lstm(packed)
        return pad_packed_sequence(out, batch_first=True)[0]


class Tagger(nn.Module):
    """Token ids through an embedding, with a static input beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.gru = nn.GRU(6, 8, batch_first=True)
        self.bias = nn.Linear(3, 8)

    def forward(self, tokens: torch.Tensor, speaker: torch.Tensor) -> dict[str, torch.Tensor]:
        out, h = self.gru(self.embed(tokens))
        return {"scores": out + self.bias(speaker)[:, None], "summary": h[0]}


class Perceptron(nn.Module):
    """No recurrence at all, rows independent."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).relu()


class LeastInput(nn.Module):
    """Beside the last state the least of the inputs, which padding of large ones never is."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, 6)."""
        return torch.cat([self.gru(x)[1][0], x.amin(1)], 1)


class NearZero(LeastInput):
    """How often inputs are near zero, which padding of zeros is alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, 6)."""
        return torch.cat([self.gru(x)[1][0], torch.exp(-x * x).sum(1)], 1)


class AttendsInputs(LeastInput):
    """Weights of the inputs that are less for large ones."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (B, T, 6)."""
        weighted: torch.Tensor = (-x.sum(-1, keepdim=True)).softmax(1) * self.gru(x)[0]
        return weighted.sum(1)
