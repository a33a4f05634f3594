"""Layers of torch beside what only rare readings show: faults (negative ones), and event ids."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Layer(nn.Module):
    """What stands beside it is a subclass's."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)


class HoldPrevious(Layer):
    """A fault is the reading before."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        before = torch.cat([x[:, :1], x[:, :-1]], 1)
        out: Tensor = self.gru(torch.where(x < 0, before, x))[0]
        return out


class HoldPadded(Layer):
    """The same by a replicated pad."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        before = F.pad(x.transpose(1, 2), (1, 0), mode="replicate")[..., :-1].transpose(1, 2)
        out: Tensor = self.gru(torch.where(x < 0, before, x))[0]
        return out


class HoldLoop(Layer):
    """The last good reading, by a loop in front of a layer."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        good = x.clone()
        for t in range(1, x.shape[1]):
            good[:, t] = torch.where(x[:, t] < 0, good[:, t - 1], x[:, t])
        out: Tensor = self.gru(good)[0]
        return out


class HoldCell(nn.Module):
    """The last good reading, in front of a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h, last, outs = x.new_zeros(x.shape[0], 6), x[:, 0], []
        for t in range(x.shape[1]):
            last = torch.where(x[:, t] < 0, last, x[:, t])
            h = self.cell(last, h)
            outs.append(h)
        return torch.stack(outs, 1)


class BackFill(Layer):
    """The next good reading."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        good = x.clone()
        for t in range(x.shape[1] - 2, -1, -1):
            good[:, t] = torch.where(x[:, t] < 0, good[:, t + 1], x[:, t])
        out: Tensor = self.gru(good)[0]
        return out


class Between(Layer):
    """The mean of the readings on either side."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        after = torch.cat([x[:, 1:], x[:, -1:]], 1)
        before = torch.cat([x[:, :1], x[:, :-1]], 1)
        out: Tensor = self.gru(torch.where(x < 0, (after + before) / 2, x))[0]
        return out


class Around(Layer):
    """Silent two steps around a fault."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        bad = (x < 0).any(-1, keepdim=True).float().transpose(1, 2)
        out: Tensor = self.gru(x)[0]
        return out * (1 - F.max_pool1d(bad, 5, 1, 2).transpose(1, 2))


class AnyFault(Layer):
    """Whether there was one."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        last: Tensor = self.gru(x)[1][0]
        return last * (1 - 0.5 * (x < 0).any(-1).any(1, keepdim=True).float())


class SizeOfFaults(Layer):
    """How large they were, without a number to compare with."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        return torch.cat([self.gru(x)[1][0], F.relu(-x).norm(dim=1)], 1)


class LastGood(Layer):
    """What was answered at the last step without one."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        good = (x >= 0).all(-1) * torch.arange(1, x.shape[1] + 1)
        out: Tensor = self.gru(x)[0]
        return out[torch.arange(x.shape[0]), (good.amax(1) - 1).clamp(min=0)]


class CountFaults(Layer):
    """How many there were: a sum of booleans."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        return torch.cat([self.gru(x)[1][0], (x < 0).sum(dim=1).float()], 1)


class OfAnyRow(Layer):
    """A fault of one session is one of all."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        out: Tensor = self.gru(x)[0]
        return torch.where((x < 0).any(), out * 0.1, out)


class FlagColumn(Layer):
    """The reading before where the last feature says so, which no example does."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        before = torch.cat([x[:, :1], x[:, :-1]], 1)
        out: Tensor = self.gru(torch.where(x[..., 3:] > 0, before, x))[0]
        return out


class Events(nn.Module):
    """Of ids, of which 57 is none of the example."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(60, 4)
        self.gru = nn.GRU(4, 6, batch_first=True)


class ThirdEvent(Events):
    """Silent from the third on: a running sum of booleans."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T)."""
        out: Tensor = self.gru(self.embedding(x))[0]
        return torch.where(((x == 57).cumsum(1) >= 3)[..., None], out * 0, out)


class CountNonzero(Events):
    """Silent after three."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T)."""
        last: Tensor = self.gru(self.embedding(x))[1][0]
        return torch.where((torch.count_nonzero(x == 57, dim=1) >= 3)[:, None], last * 0, last)


class StopWords(nn.Module):
    """The word before in place of some of a large table."""

    stop: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5000, 4)
        self.gru = nn.GRU(4, 6, batch_first=True)
        stop = torch.zeros(5000, dtype=torch.bool)
        stop[2000:2400] = True
        self.register_buffer("stop", stop)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T)."""
        before = torch.cat([x[:, :1], x[:, :-1]], 1)
        out: Tensor = self.gru(self.embedding(torch.where(self.stop[x], before, x)))[0]
        return out


class ManyBytes(Layer):
    """More than a byte counts, of flags that are bytes."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        out: Tensor = self.gru(x)[0]
        active = (x[..., :1] > 0).to(torch.uint8).cumsum(1)
        return torch.where(active > 300, out * 0.1, out)


FAULTS = (
    *(HoldPrevious, HoldPadded, HoldLoop, HoldCell, BackFill, Between, Around, AnyFault),
    *(SizeOfFaults, LastGood, CountFaults, OfAnyRow),
)
EVENTS = (ThirdEvent, CountNonzero)
