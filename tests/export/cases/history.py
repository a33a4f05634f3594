# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules that remember more than their recurrent layer's state, where few examples show it."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence


class Layered(nn.Module):
    """A GRU over (B, T, 6) behind `gain`."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def gain(self, x: torch.Tensor) -> torch.Tensor:
        """What the frames are multiplied by."""
        return torch.ones_like(x[..., :1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.gru(x * self.gain(x))[0]


class LoudestSoFar(Layered):
    """Turns down by the loudest that was heard, which an example below one never shows."""

    def gain(self, x: torch.Tensor) -> torch.Tensor:
        return 1 / torch.cummax(x.abs().amax(2, keepdim=True), 1).values.clamp(min=1)


class Triggered(Layered):
    """Opens for good at the first loud frame."""

    def gain(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cumsum((x.abs().amax(2, keepdim=True) > 2).float(), 1)


class Hears(Layered):
    """Counts the frames that were no silence."""

    def gain(self, x: torch.Tensor) -> torch.Tensor:
        return (
            1
            + torch.cumsum((x.abs().sum(2, keepdim=True) > 0).float(), 1)
            - torch.arange(1.0, x.size(1) + 1)[:, None]
        )


class Best(nn.Module):
    """A cell in a loop beside the best of all frames, which begins above what examples have."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, best = torch.zeros(x.size(0), 6), torch.full((x.size(0), 6), 5.0)
        outputs = []
        for t in range(x.size(1)):
            h, best = self.cell(x[:, t], h), torch.maximum(best, x[:, t])
            outputs.append(h * best)
        return torch.stack(outputs, 1)


class Tokens(nn.Module):
    """Words, 0 for none: what classifiers of sentences take."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 6, padding_idx=0)
        self.gru, self.fc = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)


class CountsWords(Tokens):
    """Packs by how many words there are, of an example without padding."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        lengths = (tokens != 0).sum(1).cpu()
        packed = pack_padded_sequence(
            self.embed(tokens), lengths, batch_first=True, enforce_sorted=False
        )
        return self.fc(self.gru(packed)[1][-1])


class AfterEnd(Tokens):
    """Answers with nothing after the word 3, which the example does not have."""

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        ended = torch.cumsum((tokens == 3).float(), 1)[..., None]
        return self.fc(self.gru(self.embed(tokens))[0]) * (1 - ended.clamp(max=1))


class Masked(nn.Module):
    """Packs by a mask of ones."""

    def __init__(self) -> None:
        super().__init__()
        self.gru, self.fc = nn.GRU(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(
            x, mask.sum(1).cpu().long(), batch_first=True, enforce_sorted=False
        )
        return self.fc(self.gru(packed)[1][-1])
