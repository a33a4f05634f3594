"""A decoder that attends over a memory which stays the same, and an example for it."""

import torch
from torch import nn
from torch.nn import functional

B, T, S = 5, 6, 7
X = torch.randn(B, T, 6, generator=torch.Generator().manual_seed(1))
H = torch.zeros(1, B, 8)
MEMORY = torch.randn(B, S, 4, generator=torch.Generator().manual_seed(2))
FULL = torch.full((B,), S)


class Attends(nn.Module):
    """A GRU whose every input has what it reads of a memory beside it: `x` (B, T, 6), `h`
    (1, B, 8), memory (B, S, 4), as many places of it as `length` (B,) says.
    """

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(6, 4)
        self.gru = nn.GRU(10, 8, batch_first=True)

    def read(self, x: torch.Tensor, memory: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
        """What each step reads, (B, T, 4)."""
        scores = self.query(x) @ memory.transpose(1, 2)  # (B, T, S)
        empty = torch.arange(memory.shape[1]) >= length.unsqueeze(1)  # (B, S)
        scores = scores.masked_fill(empty.unsqueeze(1), float("-inf"))
        return functional.softmax(scores, 2) @ memory

    def forward(
        self, x: torch.Tensor, h: torch.Tensor, memory: torch.Tensor, length: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.gru(torch.cat((x, self.read(x, memory, length)), 2), h)  # type: ignore[no-any-return]
