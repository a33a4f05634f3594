"""Features made of each step and the one before, by slices; filters whose gain no input reaches."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs

Feature = Callable[[Tensor], Tensor]


class OverFeatures(nn.Module):
    """A layer, or a cell in a loop, over features of the input."""

    def __init__(self, feature: Feature, looped: bool) -> None:
        super().__init__()
        self.feature, self.looped = feature, looped
        self.layer, self.cell = nn.GRU(4, 6, batch_first=True), nn.GRUCell(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 4] to [B, T, 6]."""
        features = self.feature(x)
        if not self.looped:
            found: Tensor = self.layer(features)[0]
            return found
        h = x.new_zeros(x.shape[0], 6)
        outs = []
        for t in range(x.shape[1]):
            h = self.cell(features[:, t], h)
            outs.append(h)
        return torch.stack(outs, 1)


class Filter(nn.Module):
    """A Kalman filter of a random walk: the variance is a state that no input reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.drift, self.noise = nn.Parameter(torch.rand(4)), nn.Parameter(torch.rand(4))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, 4] to [B, T, 4]."""
        mean = x[:, 0]
        variance = torch.ones_like(mean)
        outs = [mean]
        for t in range(1, x.shape[1]):
            variance = variance + self.drift.abs()
            gain = variance / (variance + self.noise.abs())
            mean = mean + gain * (x[:, t] - mean)
            variance = (1 - gain) * variance
            outs.append(mean)
        return torch.stack(outs, 1)


def _written(x: Tensor) -> Tensor:
    found = torch.zeros_like(x)
    found[:, 1:] = x[:, 1:] - x[:, :-1]
    return found


def _behind(x: Tensor) -> Tensor:
    return torch.cat([x.new_zeros(x.shape[0], 2, 4), x], 1)[:, : x.shape[1]]


FEATURES: dict[str, Feature] = {
    "padded": lambda x: F.pad(x[:, 1:] - x[:, :-1], (0, 0, 1, 0)),
    "zeros": lambda x: torch.cat([torch.zeros_like(x[:, :1]), x[:, 1:] - x[:, :-1]], 1),
    "first": lambda x: torch.cat([x[:, :1], x[:, 1:] - x[:, :-1]], 1),
    "ratio": lambda x: torch.cat([torch.ones_like(x[:, :1]), x[:, 1:] / (1 + x[:, :-1].abs())], 1),
    "added": lambda x: x + F.pad(x[:, 1:] - x[:, :-1], (0, 0, 1, 0), value=0.5),
    "narrow": lambda x: F.pad(
        x.narrow(1, 1, x.shape[1] - 1) - x.narrow(1, 0, x.shape[1] - 1), (0, 0, 1, 0)
    ),
    "diff": lambda x: torch.diff(x, dim=1, prepend=x[:, :1]),
    "diff_zeros": lambda x: torch.diff(x, dim=1, prepend=torch.zeros_like(x[:, :1])),
    "late": lambda x: torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], 1),
    "two_late": _behind,
    "written": _written,
}


def _case(feature: Feature, looped: bool) -> Case:
    return Case(lambda: OverFeatures(feature, looped), inputs(floats(4)), "step", "one step behind")


CASES = {
    **{f"shift_{name}_layer": _case(each, False) for name, each in FEATURES.items()},
    **{f"shift_{name}_loop": _case(each, True) for name, each in FEATURES.items()},
    "shift_filter": Case(Filter, inputs(floats(4)), "step", "a mean and a variance"),
}
