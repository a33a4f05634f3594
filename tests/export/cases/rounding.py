# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules in float32 that are far from themselves in float64, each for a reason of its own."""

import torch
from torch import nn


class Sine(nn.Module):
    """Answers with a steep sine: what was rounded away before it comes back a hundredfold."""

    def __init__(self, steep: float = 300.0) -> None:
        super().__init__()
        self.lstm, self.fc = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)
        self.steep = steep

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sin(self.steep * self.fc(self.lstm(x)[0]))


class Cancels(Sine):
    """Adds a large number and takes it off again: few digits are left."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(self.lstm(x)[0])
        large = 300 + 0 * y[..., :1]
        return (y + large) - large


class Steep(nn.Module):
    """Three layers of a trained LSTM whose gates stand steep, over a long sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 16, 3, batch_first=True)
        with torch.no_grad():
            for weight in self.lstm.parameters():
                weight.mul_(6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


class Mild(Sine):
    """The same network without anything steep: as near as float32 can be."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.lstm(x)[0])


class OnlyFloat(Mild):
    """The same, that cannot be run in float64."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.float() + torch.zeros(6))
