# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules that take a whole window at once, in which a recurrent layer runs several steps."""

import torch
from torch import nn

from tests.export.cases.models import Pair


class Flattens(nn.Module):
    """A classifier of windows of ten steps, (B, 10, 3), that reads all of them at once."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.fc = nn.Linear(40, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.lstm(x)[0].flatten(1))


class FlattensTimeFirst(nn.Module):
    """The same with a GRU that has time in front, its window channels first: (B, 3, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4)
        self.fc = nn.Linear(40, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.gru(x.permute(2, 0, 1))[0].transpose(0, 1).flatten(1))


class Pictures(nn.Module):
    """Strided convolutions over pictures (B, 1, 8, 16), then a GRU over eight columns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.gru = nn.GRU(16, 5, batch_first=True)
        self.fc = nn.Linear(40, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = self.conv(x).relu().flatten(1, 2).transpose(1, 2)  # (B, 8, 16)
        return self.fc(self.gru(columns)[0].flatten(1))


class PicturesLast(Pictures):
    """The same, answering by its last column."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = self.conv(x).relu().flatten(1, 2).transpose(1, 2)
        return self.fc(self.gru(columns)[0][:, -1])


class Positions(nn.Module):
    """A table of ten positions in front of a bidirectional LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(10, 3))
        self.lstm = nn.LSTM(3, 4, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x + self.table)[0]


class PositionsForward(Positions):
    """The same in one direction: its state could be carried on, its table says that it is not."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)


class BothWaysCarried(Positions):
    """Bidirectional over a fixed window, and yet its state goes in and comes out."""

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        out, (h, c) = self.lstm(x + self.table, (h, c))
        return out, h, c


class Ocr(nn.Module):
    """A recogniser of lines (B, 1, 8, 16) that knows how many columns it has: four."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d((4, 4)))
        self.lstm = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(10, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = self.conv(x).permute(0, 3, 1, 2).reshape(x.shape[0], 4, 6)
        return self.fc(self.lstm(columns)[0]).log_softmax(-1)


class Denoiser(nn.Module):
    """Takes blocks of 32 samples, (B, 32), as four frames of eight, and gives as many back."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 6, batch_first=True)
        self.fc = nn.Linear(6, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.gru(x.view(x.shape[0], 4, 8))
        return self.fc(y).view(x.shape[0], 32)


class LayersOverBlocks(nn.Module):
    """Two LSTM layers over blocks of four frames laid side by side, (B, 4 * 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, _ = self.lstm(x.view(-1, 4, 3).transpose(0, 1))
        return y.transpose(0, 1).reshape(-1, 20)


class DenoiserCarried(Denoiser):
    """What it is told to become: takes its state as an argument and returns it."""

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> Pair:  # type: ignore[override]
        y, h = self.gru(x.view(x.shape[0], 4, 8), h)
        return self.fc(y).view(x.shape[0], 32), h


class FcnBesideLstm(nn.Module):
    """LSTM-FCN: convolutions over twelve samples of three variables, and an LSTM over the three."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 5, 3, padding=1)
        self.lstm = nn.LSTM(12, 4, batch_first=True)
        self.fc = nn.Linear(9, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (h, _) = self.lstm(x)
        return self.fc(torch.cat((h[-1], self.conv(x).relu().mean(2)), 1))


class Autoencoder(nn.Module):
    """Reads a window of ten steps into one code, and writes ten steps from it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(3, 4, batch_first=True)
        self.decoder = nn.LSTM(4, 3, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        _, (code, _) = self.encoder(x.view(x.shape[0], 10, 3))
        return self.decoder(code[-1][:, None].repeat(1, 10, 1))[0]


class CellsOverWindow(nn.Module):
    """A cell stepped a fixed number of times over a window, (B, 30), of its own making."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(3, 4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = None
        for step in x.view(x.shape[0], 10, 3).unbind(1):
            state = self.cell(step, state)
        assert state is not None
        return self.fc(state[0])


class OneStep(nn.Module):
    """No window: one frame a call, (B, 6), and one step of the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.lstm(x[:, None])[0][:, 0])
