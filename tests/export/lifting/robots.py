"""Policies of robots: images, joints and a mask, with states of several ranks."""

import torch
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs, mask


class Sees(nn.Module):
    """A robot's policy: a map kept by convolutions over images, and a cell over map and joints,
    where a mask says which steps count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3 + 2, 2, 3, padding=1)
        self.join, self.cell = nn.Linear(2 * 36 + 4, 5), nn.GRUCell(5, 6)

    def forward(self, image: Tensor, joints: Tensor, valid: Tensor) -> Tensor:
        """image [B, T, 3, 6, 6], joints [B, T, 4], valid [B, T, 1] to [B, T, 6]."""
        kept = image.new_zeros(image.shape[0], 2, 6, 6)
        h = image.new_zeros(image.shape[0], 6)
        outs = []
        for t in range(image.shape[1]):
            kept = torch.tanh(self.look(torch.cat([image[:, t], kept], 1)))
            seen = self.join(torch.cat([kept.flatten(1), joints[:, t]], 1))
            h = torch.where(valid[:, t] > 0, self.cell(seen, h), h)
            outs.append(h)
        return torch.stack(outs, 1)


CASES = {
    "image_joints_mask": Case(
        Sees, inputs(floats(3, 6, 6), floats(4), mask(1)), "step", "states of two ranks"
    ),
}
