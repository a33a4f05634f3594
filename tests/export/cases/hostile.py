# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules as people have them that once slipped through, or broke, an export."""

import random
from typing import Any

import torch
from torch import nn


class Net(nn.Module):
    """The plain one that the others bend."""

    def __init__(self, kind: type[nn.LSTM] | type[nn.GRU] = nn.LSTM, inputs: int = 6) -> None:
        super().__init__()
        self.rnn = kind(inputs, 8, batch_first=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.rnn(x)[0])


class Tokens(nn.Module):
    """Token ids in; `mean` couples the rows, `zeros` are looked for by a branch."""

    def __init__(self, mean: bool = False, branch: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.net = Net(nn.GRU)
        self.mean, self.branch = mean, branch

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        if self.branch and bool((tokens == 0).any()):
            x = x.masked_fill((tokens == 0)[..., None], 0.0)
        y = self.net(x)
        return y - y.mean(dim=0, keepdim=True) if self.mean else y


class MaskUnlessFull(Net):
    """Masks only where the mask is not full, as its example is."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        y = super().forward(x)
        return y if bool(mask.all()) else y.masked_fill(~mask[..., None], 0.0)


class Normalises(Net):
    """Divides what is loud, which the example is not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.abs().max() > 20:
            x = x / x.abs().max()
        return super().forward(x)


class ScalesByNumber(Net):
    """Takes the loudest value out of torch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x / float(x.abs().max()))


class Guarded(Net):
    """Refuses NaN, and keeps a log of what it heard."""

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[str, list[float]] = {"mean": []}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert not bool(torch.isnan(x).any()), "NaN"
        self.log["mean"].append(x.mean().item())
        return super().forward(x)


class ByRate(Net):
    """Decides by a sample rate that no client sends."""

    def forward(self, x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x if rate == 16000 else x * 2)


class Ignores(Net):
    """Takes an input that it does not read."""

    def forward(self, x: torch.Tensor, ignored: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x)


class Cell(nn.Module):
    """A cell by hand whose output is as wide as its state; `order` says how it answers."""

    def __init__(self, order: str) -> None:
        super().__init__()
        self.mix = nn.Linear(6 + 8, 8)
        self.head = nn.Linear(8, 8)
        self.order = order

    def forward(self, x: torch.Tensor, hidden: torch.Tensor) -> Any:
        h = torch.tanh(self.mix(torch.cat((x, hidden), dim=-1)))
        y = self.head(h)
        answers: dict[str, Any] = {
            "dict": {"new_hidden": h, "y": y},
            "two outputs": (y, torch.sigmoid(y), h),
            "state first": (h, y),
        }
        return answers[self.order]


class InPlace(Net):
    """Writes into its input."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x -= 1
        x[:, :, 0] = 0
        return super().forward(x)


class KeepsInObject(Net):
    """Keeps its hidden state and a count in a plain object."""

    class Memory:
        """What it keeps."""

        def __init__(self) -> None:
            self.hidden: torch.Tensor | None = None
            self.lengths: list[int] = []

    def __init__(self) -> None:
        super().__init__(nn.GRU)
        self.memory = self.Memory()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.memory.lengths.append(x.shape[1])
        y, self.memory.hidden = self.rnn(x, self.memory.hidden)
        return self.fc(y)


class KeepsHidden(Net):
    """Goes on from where an earlier call, in inference mode, has left it."""

    def __init__(self) -> None:
        super().__init__(nn.GRU)
        self.hidden: torch.Tensor | None = None
        with torch.inference_mode():
            self(torch.randn(2, 3, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, self.hidden = self.rnn(x, self.hidden)
        return self.fc(y)


class RewritesWeights(Net):
    """Holds its weights above zero, at each call."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.fc.weight.data.clamp_(0)
        return super().forward(x)


class Tosses(Net):
    """Tosses a coin of Python's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * random.random())


class OnlyOutput(nn.LSTM):
    """A layer of one's own that keeps its state to itself."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(input)[0]


class Uses(nn.Module):
    """Runs one layer and gives back what comes first."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = self.layer(x)
        return found[0] if isinstance(found, tuple) else found


class Packs(Net):
    """Answers with a packed sequence."""

    def forward(self, x: torch.Tensor) -> Any:
        lengths = torch.full((len(x),), x.shape[1])
        return self.rnn(nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True))[0]


class LastFive(Net):
    """Answers with the last five steps, of which a short sequence has fewer."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, -5:]


class Attends(Net):
    """Attention of torch's own behind its layer: fused in eval mode, without an ONNX form."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.rnn(x)[0]
        return self.fc(self.attention(y, y, y)[0])


class Categories(nn.Module):
    """Three ids a step, each with an embedding of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.ModuleList(nn.Embedding(9, 2) for _ in range(3))
        self.net = Net()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.net(torch.cat([each(ids[..., i]) for i, each in enumerate(self.embed)], -1))


class FixedRows(Net):
    """Starts at zeros for four rows, whatever comes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.rnn(x, (torch.zeros(1, 4, 8), torch.zeros(1, 4, 8)))[0])
