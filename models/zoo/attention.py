"""Attention by concatenation: the query and one key, side by side, score the positions of V.

Sizes: 32 positions, Q and K of 32 features, V of 64. One query at a time, and no state. A decoder
uses the same block over rows, some of them shorter (models/zoo/reverse.py).
"""

import torch
from torch import nn
from torch.nn import functional

from carousel.models.zoo.reference import Reference, Report, normal, seeded

POSITIONS = 32
QUERY = 32
VALUES = 64

_SEED = 1997


class ConcatAttention(nn.Module):
    """Scores [Q0; K0], weighs V with their softmax, and mixes the result with Q0."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(2 * QUERY, POSITIONS)
        self.mix = nn.Linear(QUERY + VALUES, VALUES)

    def forward(
        self, Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Q, K (1, 1, 32) and V (1, 32, 64) give the output (1, 1, 64) and the weights (1, 32)."""
        mixed, weights = self.attend(Q[0], K[0], V)
        return mixed.unsqueeze(0), weights

    def attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        values: torch.Tensor,
        empty: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The same for rows: query and key (B, 32) and values (B, 32, 64) give (B, 64) and the
        weights (B, 32). What stands at positions that are `empty` (B, 32) has no weight at all.
        """
        scores = self.score(torch.cat((query, key), 1))  # (B, 32)
        if empty is not None:
            scores = scores.masked_fill(empty, float("-inf"))
        weights = functional.softmax(scores, dim=1)  # (B, 32)
        applied = torch.bmm(weights.unsqueeze(1), values).squeeze(1)  # (B, 64)
        return self.mix(torch.cat((query, applied), 1)), weights


def _build(report: Report) -> nn.Module:
    with seeded(_SEED):
        module = ConcatAttention()
    report(f"weights from seed {_SEED}")
    return module.eval()


def _example() -> tuple[torch.Tensor, ...]:
    return normal(1, 1, 32), normal(1, 1, 32, seed=1), normal(1, 32, 64, seed=2)


ATTENTION = Reference(
    "attention",
    "attention by concatenation: three inputs, two outputs, no state",
    _build,
    _example,
    axes={"Q": (1, 1, 32), "K": (1, 1, 32), "V": (1, 32, 64)},
    output_names=("output", "weights"),
)
