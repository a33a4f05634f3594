# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules whose arguments are not what they are called, or states that are called otherwise."""

from typing import Any, NamedTuple

import torch
from torch import nn

from tests.export.cases.models import Pair


class Frames(nn.Module):
    """A GRU over what comes first, called as states are."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 6, batch_first=True)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.gru(hidden_states)[0]


class Policy(nn.Module):
    """A Q network: `state` is what is observed, `hidden` its memory."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.fc = nn.GRUCell(4, 8), nn.Linear(8, 4)

    def forward(self, state: torch.Tensor, hidden: torch.Tensor) -> Pair:
        hidden = self.cell(state, hidden)
        return self.fc(hidden), hidden


class Reads(nn.Module):
    """A cell beside a memory that somebody else wrote, as wide as its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.fc = nn.GRUCell(14, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, hidden: torch.Tensor, memory: torch.Tensor) -> Pair:
        hidden = self.cell(torch.cat((x, memory), 1), hidden)
        return self.fc(hidden), hidden


class Conditioned(nn.Module):
    """A layer beside a condition `c`, which gives back a summary as wide."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(14, 8, batch_first=True), nn.Linear(8, 6)

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> Pair:
        beside = c[:, None].expand(-1, x.size(1), -1)
        y, h = self.gru(torch.cat((x, beside), 2))
        return self.fc(y), h[-1]


class Attends(nn.Module):
    """A layer over (B, T, 6) that attends to what an encoder made of as many steps."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 6, batch_first=True)

    def forward(
        self, x: torch.Tensor, encoder_hidden_states: torch.Tensor | None = None
    ) -> torch.Tensor:
        y, memory = self.gru(x)[0], encoder_hidden_states
        return y if memory is None else y + (y @ memory.transpose(1, 2)).softmax(-1) @ memory


class Counts(nn.Module):
    """A cell with a table of positions, and a number that counts them."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.table = nn.GRUCell(6, 8), nn.Embedding(50, 6)

    def forward(self, x: torch.Tensor, h: torch.Tensor, t: torch.Tensor) -> Pair:
        return self.cell(x + self.table(t), h), t + 1


class Writes(nn.Module):
    """Writes its new state into its argument."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(6, 8)

    def forward(self, x: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        kept[:] = self.cell(x, kept)
        return kept.sum(-1, keepdim=True)


class Swaps(nn.Module):
    """An LSTM by hand that takes c and h and gives back h and c; over a sequence or a frame."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.Linear(14, 32)

    def step(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> Pair:
        """One frame."""
        i, f, g, o = self.gates(torch.cat((x, h), 1)).chunk(4, 1)
        c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def forward(
        self, x: torch.Tensor, c: torch.Tensor, h: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if x.dim() == 2:
            h, c = self.step(x, h, c)
            return h * 2, h, c
        outputs = []
        for t in range(x.size(1)):
            h, c = self.step(x[:, t], h, c)
            outputs.append(h * 2)
        return torch.stack(outputs, 1), h, c


class InList(nn.Module):
    """A loop by hand whose state may be left out, and comes back in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.write = nn.Linear(6, 8)

    def forward(self, x: torch.Tensor, st: Any = None) -> tuple[torch.Tensor, list[torch.Tensor]]:
        h = x.new_zeros(x.size(0), 8) if st is None else st[0]
        outputs = []
        for t in range(x.size(1)):
            h = torch.tanh(self.write(x[:, t]) + 0.5 * h)
            outputs.append(h)
        return torch.stack(outputs, 1), [h]


class Statics(nn.Module):
    """A layer beside four inputs that do not change with time."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)
        self.add = nn.ModuleList(nn.Linear(4, 8) for _ in range(4))

    def forward(
        self, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, d: torch.Tensor, e: torch.Tensor
    ) -> torch.Tensor:
        beside = sum(add(each) for add, each in zip(self.add, (a, b, d, e), strict=True))
        return self.gru(x)[0] + torch.as_tensor(beside)[:, None]


class SwapsUnnamed(Swaps):
    """The same frame, whose code calls what it returns otherwise."""

    def forward(
        self, x: torch.Tensor, c: torch.Tensor, h: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        one, other = self.step(x, h, c)
        return one * 2, one, other


class SwapsNamed(Swaps):
    """The same frame, its states under their names."""

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, c: torch.Tensor, h: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        h, c = self.step(x, h, c)
        return {"y": h * 2, "h": h, "c": c}


class Resets(nn.Module):
    """A cell whose state is left at the end of an episode."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(6, 8)

    def forward(self, x: torch.Tensor, h: torch.Tensor, done: torch.Tensor) -> Pair:
        h = self.cell(x, h * (1 - done.float()))
        return h * 2, h


class HalvesLengths(nn.Module):
    """Gives back half the lengths beside its answers; nothing else hears of them."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, sizes: torch.Tensor) -> Pair:
        return self.gru(x)[0], sizes // 2


class StateFirst(nn.Module):
    """Gives back its state before its answer."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.fc = nn.GRUCell(6, 8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, h: torch.Tensor) -> Pair:
        h = self.cell(x, h * 0.9)
        return h, self.fc(h)


class Pools(nn.Module):
    """The mean over the frames of a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        y = self.gru(x)[0] * mask[..., None]
        return y.sum(1) / mask.sum(1, keepdim=True)


class Unnamed(nn.Module):
    """Three memories of one width that nothing names, each of its own speed."""

    def __init__(self) -> None:
        super().__init__()
        self.write = nn.ModuleList(nn.Linear(6, 8) for _ in range(3))

    def forward(
        self, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, d: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        outputs = []
        for t in range(x.size(1)):
            a = 0.5 * a + torch.tanh(self.write[0](x[:, t]))
            b = 0.7 * b + torch.tanh(self.write[1](x[:, t]))
            d = 0.9 * d + torch.tanh(self.write[2](x[:, t]))
            outputs.append(a + b * d)
        return torch.stack(outputs, 1), a, b, d


class Answer(NamedTuple):
    """What the next answers with."""

    logits: torch.Tensor
    state: Pair


class Optional(nn.Module):
    """A layer whose pair of states may be left out, and comes back in a named tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, state: Pair | None = None) -> Answer:
        y, state = self.lstm(x, state)
        return Answer(y, state)


class Leaky(nn.Module):
    """A neuron whose membrane has no name that states have."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, mem: torch.Tensor) -> Pair:
        mem = 0.9 * mem + self.fc(x)
        return torch.sigmoid(mem), mem


class LeakyFirst(Leaky):
    """The same, which returns its membrane first."""

    def forward(self, x: torch.Tensor, mem: torch.Tensor) -> Pair:
        new_mem = 0.9 * mem + self.fc(x)
        spikes = torch.sigmoid(new_mem)
        return new_mem, spikes


class Crossed(Leaky):
    """Two streams of a stack, each of which goes on as itself: no state."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Pair:
        x = x + self.fc(y)
        y = y + torch.tanh(x)
        return x, y
