# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules that answer with more than tensors, or with fewer steps than came in."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.distributions import Categorical, Normal


@dataclass
class Answer:
    """An answer as libraries give it."""

    logits: torch.Tensor
    loudness: torch.Tensor | None = None


class Judged(NamedTuple):
    """An answer with a word beside it."""

    scores: torch.Tensor
    label: str


class Rated:
    """An answer in an object of one's own."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.scores = scores


class Answers(nn.Module):
    """A GRU whose scores (B, T, 3) come in the guise that `form` says."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)
        self.form = form

    def forward(self, x: torch.Tensor) -> Any:
        y = self.fc(self.gru(x)[0])
        answers: dict[str, Any] = {
            "normal": lambda: Normal(y, y.abs() + 0.1),
            "normal beside": lambda: (y, Normal(y, y.abs() + 0.1)),
            "categorical in a dict": lambda: {"scores": y, "choice": Categorical(logits=y)},
            "string": lambda: {"scores": y, "label": "speech"},
            "string in a named tuple": lambda: Judged(y, "speech"),
            "float": lambda: (y, 0.5),
            "size": lambda: (y, x.shape[1]),
            "list of numbers": lambda: {"scores": y, "lengths": [x.shape[1]] * len(x)},
            "object beside": lambda: (y, Rated(y * 2)),
            "none": lambda: (y, None),
            "dataclass": lambda: Answer(y, y * 2),
            "dataclass, half": lambda: Answer(y),
        }
        return answers[self.form]()


class PoolsByTwo(nn.Module):
    """Halves time by an average before its GRU: T steps give T // 2."""

    def __init__(self, by: int = 2) -> None:
        super().__init__()
        self.pool = nn.AvgPool1d(by)
        self.gru, self.fc = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.gru(self.pool(x.transpose(1, 2)).transpose(1, 2))[0])


class Strides(nn.Module):
    """A strided convolution before a GRU: `pad` steps at the ends make it round up."""

    def __init__(self, kernel: int, pad: int, both: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 6, kernel, stride=2, padding=pad)
        self.gru = nn.GRU(6, 8, batch_first=True, bidirectional=both)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(self.conv(x.transpose(1, 2)).relu().transpose(1, 2))[0]


class Recogniser(nn.Module):
    """A CTC recogniser of lines (B, 1, 8, T): two poolings, T // 4 columns, time in front."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.lstm = nn.LSTM(8, 5, bidirectional=True)
        self.fc = nn.Linear(10, 7)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        columns = self.conv(x).flatten(1, 2).permute(2, 0, 1)  # (T // 4, B, 8)
        return self.fc(self.lstm(columns)[0]).log_softmax(-1)


class Speech(nn.Module):
    """A recogniser of frames (B, T, 6) that stacks pairs of them, as pyramids do: T // 2."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.LSTM(6, 4, batch_first=True, bidirectional=True)
        self.high = nn.LSTM(16, 4, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.low(x)[0]
        y = y[:, : y.shape[1] // 2 * 2].reshape(y.shape[0], y.shape[1] // 2, 16)
        return self.high(y)[0]


class Lengthens(nn.Module):
    """A decoder that gives two steps for each that comes."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(x)[0].repeat_interleave(2, 1)


class Finds(nn.Module):
    """Answers with the frames that are loud, of which there are none in the example."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.gru(x)[0]
        return y, y.abs().sum((0, 2))[x.abs().amax((0, 2)) < 20]


class Audio(nn.Module):
    """Samples (B, 1, T) in windows of 40, one every 16, before a GRU: no window in 31 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 40, stride=16)
        self.gru = nn.GRU(4, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(self.conv(x).transpose(1, 2))[0]


class Trims(nn.Module):
    """Leaves off the first four steps."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(x)[0][:, 4:]


class Doubles(nn.Module):
    """Answers each step twice."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(x)[0].repeat_interleave(2, 1)
