# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules that an exporter trips over: what it must refuse, or must not believe."""

from typing import Any

import torch
from torch import nn

from tests.export.cases.heads import LastStep
from tests.export.cases.models import AttributeState, CellLoop


class RandomStart(nn.Module):
    """Starts at random."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.gru(x, torch.randn(1, x.size(0), 8))
        return out


class AlwaysDropout(nn.Module):
    """Drops out in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)
        self.drop = EagerDropout()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.gru(x)
        return self.drop(out)


class EagerDropout(nn.Module):
    """Dropout that never rests."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


class BackwardLoop(CellLoop):
    """A loop that runs from the end: no frame can be answered before the last came."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = c = x.new_zeros(x.size(0), 8)
        outputs = []
        for t in reversed(range(x.size(1))):
            h, c = self.cell(x[:, t], (h, c))
            outputs.append(self.fc(h))
        return torch.stack(outputs[::-1], dim=1)


class CalledTwice(nn.Module):
    """One layer for two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.twin = nn.GRU(6, 8, batch_first=True)

    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return self.twin(left)[0] - self.twin(right)[0]


class AroundHooks(nn.Module):
    """Calls a layer's forward itself."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru.forward(x)[0]


class LeakyAttribute(AttributeState):
    """Feeds that state to its head as well."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = 0.0 if self.hidden is None else self.hidden[0][:, None]
        out, self.hidden = self.gru(x, self.hidden)
        return out + before


class BufferCache(nn.Module):
    """Remembers the last frame in a buffer, in front of its recurrent layer."""

    cache: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", torch.zeros(6))
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.gru(x + self.cache)
        self.cache.copy_(x[0, -1])
        return out


class LookAhead(nn.Module):
    """A convolution that sees one frame of the future, in front of the recurrent layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(6, 6, 3, padding=1)
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(self.conv(x.transpose(1, 2)).transpose(1, 2))
        return out


class CoupledRows(LastStep):
    """Subtracts the batch's mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(x)
        return self.fc(out - out.mean(dim=0, keepdim=True))


class SqueezesAll(LastStep):
    """Squeezes every axis of size one, the batch's too."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(x)
        return self.fc(out[:, -1])[:, :1].squeeze()


class MergesAxes(LastStep):
    """Answers (B*T, V)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(x)
        return self.fc(out.reshape(-1, 8))


class LoudHead(LastStep):
    """Answers in the hundred thousands, where an absolute bound means nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(x)
        return self.fc(out) * 1e6


class NotFinite(LastStep):
    """Answers NaN wherever it is negative, which it mostly is."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.fc.bias, -1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(x)
        return self.fc(out).log()


class Uncopyable(LastStep):
    """Holds a tensor that deepcopy refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3)) * 2

    def __deepcopy__(self, memo: Any) -> Any:
        raise AssertionError("a module under export is never copied")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * self.scale


class FixedLength(nn.Module):
    """Adds a position embedding that knows 20 positions."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(20, 6))
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.size(1) > 20:
            raise ValueError("at most 20 steps")
        out, _ = self.gru(x + self.position[: x.size(1)])
        return out


class InfiniteCache(nn.Module):
    """Keeps the last frame in its cache, -inf wherever nothing came."""

    def forward(self, x: torch.Tensor, cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        heard = x.masked_fill(x < 0, float("-inf"))
        return heard.clamp(min=0) + cache.clamp(min=0), heard


class Branches(LastStep):
    """Takes one of two ways, by what it reads."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(x)
        return self.fc(out) if bool(x.mean() > 0) else -self.fc(out)


class PythonSizes(LastStep):
    """Turns a size into a Python number, which a trace takes for a constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(x)
        rows, steps = int(x.shape[0]), int(x.shape[1])
        return self.fc(out.reshape(rows * steps, 8)).view(rows, steps, 3)


class OwnLayer(nn.GRU):
    """A layer of one's own, with an argument more."""

    def forward(  # type: ignore[override]
        self, input: torch.Tensor, hx: torch.Tensor | None = None, gain: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        out, h = super().forward(input, hx)
        return out * gain, h


class UsesOwnLayer(nn.Module):
    """Gives it that argument by position and by name."""

    def __init__(self) -> None:
        super().__init__()
        self.first = OwnLayer(6, 8, batch_first=True)
        self.second = OwnLayer(8, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out, _ = self.first(x, None, 2.0)
        return self.second(input=out, gain=3.0)[0]
