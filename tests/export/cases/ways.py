"""Modules that decide by values: some of them only to save time, others for another answer."""

from typing import Any

import torch
from torch import nn

State = tuple[torch.Tensor, torch.Tensor]


class Agent(nn.Module):
    """A policy over frames: its memory begins anew where `starts` is one, which is seldom."""

    def __init__(self, last: bool = False) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6)
        self.head = nn.Linear(6, 3)

    def forward(
        self, obs: torch.Tensor, state: State, starts: torch.Tensor
    ) -> tuple[torch.Tensor, State]:
        obs = obs.unsqueeze(0)  # (1, B, F)
        if torch.all(starts == 0.0):
            out, state = self.lstm(obs, state)
            return self.head(out[0]), state
        kept = (1.0 - starts).view(1, -1, 1)
        out, state = self.lstm(obs, (state[0] * kept, state[1] * kept))
        return self.head(out[0]), state


class Head(nn.Module):
    """A GRU over time; what is done with its input is for others to say."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)

    def before(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer reads."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.gru(self.before(x))[0]
        return out


class Clamps(Head):
    """Clamps, if there is anything to clamp."""

    def before(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(-10, 10) if x.abs().max() > 10 else x


class ClampsNested(Head):
    """The same in two steps; the inner one is met in loud company alone."""

    def before(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x.abs() > 5).any()):
            x = x.clamp(max=8)
            if bool((x < -9).any()):
                x = x.clamp(min=-9)
        return x if bool((x.abs() <= 8).all()) else x.clamp(max=8)


class Mends(Head):
    """Replaces NaN, if there is any."""

    def before(self, x: torch.Tensor) -> torch.Tensor:
        if torch.isnan(x).any():
            x = torch.nan_to_num(x)
        return x


class Stabilised(nn.Module):
    """A cell in log space, whose first step has no scale before it: as sLSTM is written."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(4, 18)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        c = n = m = x.new_zeros(x.shape[0], 6)
        found = []
        for step in x.unbind(1):
            i, f, z = self.gates(step).chunk(3, -1)
            f = m + nn.functional.logsigmoid(f)
            new = i if torch.all(n == 0.0) else torch.maximum(i, f)
            i, f, m = (i - new).exp(), (f - new).exp(), new
            c, n = f * c + i * torch.tanh(z), f * n + i
            found.append(c / n)
        return torch.stack(found, 1)


class FirstIsSpecial(nn.Module):
    """Another answer where the memory is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not bool(h.any()):
            x = x * 2
        h = self.cell(x, h)
        return h * 3, h


class Silent(Head):
    """Another answer to silence."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not bool(x.any()):
            return x.new_zeros(*x.shape[:2], 6)
        out: torch.Tensor = self.gru(x)[0]
        return out


class Rare(Head):
    """Another answer above a number that stands nowhere near the comparison."""

    def before(self, x: torch.Tensor) -> torch.Tensor:
        return -x if float(x.abs().sum()) / x.numel() > 1e7 else x


class Jumps(Head):
    """Clamps above one limit, and something else above another that is met inside alone."""

    def before(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x.abs() > 10).any()):
            x = x.clamp(-10, 10)
            if bool((x[:, 0] == 10).any()):
                x = -x
        return x


def agent_example() -> tuple[Any, ...]:
    """Three agents in the middle of their episodes."""
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randn(3, 4, generator=generator),
        (torch.zeros(1, 3, 6), torch.zeros(1, 3, 6)),
        torch.zeros(3),
    )
