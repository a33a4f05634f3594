# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules whose rows hear each other, but not at the loudness of an ordinary example."""

import torch
from torch import nn


class Coupled(nn.Module):
    """An LSTM over frames (B, T, 6) that are brought to a common loudness first."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def level(self, x: torch.Tensor) -> torch.Tensor:
        """The frames as the LSTM hears them."""
        return x / x.abs().max().clamp(min=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(self.level(x))[0]


class Temperature(Coupled):
    """A softmax whose temperature is the loudest of the batch, five at least."""

    def level(self, x: torch.Tensor) -> torch.Tensor:
        return (x / x.abs().amax().clamp(min=5)).softmax(-1)


class Gate(Coupled):
    """Halves everything once the batch is loud."""

    def level(self, x: torch.Tensor) -> torch.Tensor:
        return torch.where(x.pow(2).mean() > 4, x * 0.5, x)


class RunningMax(Coupled):
    """Divides by the loudest it has heard, which stands in a buffer that only training changes."""

    peak: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("peak", torch.tensor(3.0))

    def level(self, x: torch.Tensor) -> torch.Tensor:
        return x / torch.maximum(self.peak, x.abs().max())


class Statistics(Coupled):
    """Takes off the batch's mean where that is far from zero, as a clamp does it."""

    def level(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean(dim=(0, 1))
        return x - mean.sign() * (mean.abs() - 2).clamp(min=0)


class Silence(Coupled):
    """Lifts what is quiet by the loudest of the batch: only quiet batches are changed."""

    def level(self, x: torch.Tensor) -> torch.Tensor:
        return x / x.abs().max().clamp(max=0.01) * 0.01


class Behind(Coupled):
    """The same behind the LSTM, whose answers are scaled up."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.lstm(x)[0] * (1 + x.abs().amax((1, 2), keepdim=True))
        return y / y.abs().max().clamp(min=5)


class OwnLoudness(Coupled):
    """Each row by its own loudness: nobody hears another."""

    def level(self, x: torch.Tensor) -> torch.Tensor:
        return x / x.abs().amax(dim=(1, 2), keepdim=True).clamp(min=1)


class OwnFrames(Coupled):
    """Each frame by its own loudness: streams, too."""

    def level(self, x: torch.Tensor) -> torch.Tensor:
        return x / x.abs().amax(dim=-1, keepdim=True).clamp(min=1)
