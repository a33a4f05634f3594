"""Attention by concatenation: the query and one key, side by side, score the positions of V.

Sizes: 32 positions, Q and K of 32 features, V of 64. One query at a time, and no state.
"""

import torch
from torch import nn
from torch.nn import functional

from models.zoo.reference import Reference, Report, normal, seeded

_SEED = 1997


class ConcatAttention(nn.Module):
    """Scores [Q0; K0], weighs V with their softmax, and mixes the result with Q0."""

    def __init__(self) -> None:
        super().__init__()
        self.score = nn.Linear(32 + 32, 32)
        self.mix = nn.Linear(32 + 64, 64)

    def forward(
        self, Q: torch.Tensor, K: torch.Tensor, V: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Q, K (1, 1, 32) and V (1, 32, 64) give the output (1, 1, 64) and the weights (1, 32)."""
        scores = self.score(torch.cat((Q[0], K[0]), 1))  # (1, 32)
        weights = functional.softmax(scores, dim=1)  # (1, 32)
        applied = torch.bmm(weights.unsqueeze(0), V)  # (1, 1, 64)
        mixed = self.mix(torch.cat((Q[0], applied[0]), 1))  # (1, 64)
        return mixed.unsqueeze(0), weights


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
