"""Flags over time: whether something ever was, always was, and how often."""

import torch
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs


class Ever(nn.Module):
    """Whether a level was ever passed; `always` it was; how often it was."""

    def __init__(self, features: int, kind: str) -> None:
        super().__init__()
        self.level = nn.Linear(features, 3)
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, 3]."""
        level: Tensor = self.level(x)
        last = level[:, -1]
        if self.kind == "ever":
            return (level > 1).any(dim=1).to(x.dtype) * last
        if self.kind == "always":
            return (level > -1.5).all(1).to(x.dtype) * last
        return torch.count_nonzero(level > 0.5, 1) + last


X = inputs(floats(4), steps=8)
CASES: dict[str, Case] = {
    "ever_passed": Case(lambda: Ever(4, "ever"), X, "last", "a flag"),
    "always_passed": Case(lambda: Ever(4, "always"), X, "last", "a flag"),
    "how_often_passed": Case(lambda: Ever(4, "often"), X, "last", "a count"),
}
