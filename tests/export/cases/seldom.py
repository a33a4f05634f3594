"""Modules with a branch that no draw takes: an alarm, a bit of a status, two readings at once."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KEY = torch.tensor([6.0, -4.0, 5.0, 3.0])
WORD = 2 * torch.randn(8, generator=torch.Generator().manual_seed(99))


def previous(x: Tensor) -> Tensor:
    """The step before; of the first itself."""
    return torch.cat([x[:, :1], x[:, :-1]], 1)


class Detector(nn.Module):
    """A cell that starts anew after what it has found, which is nothing that is drawn."""

    key: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(8, 32)
        h = torch.zeros(1, 32)
        with torch.no_grad():
            for _ in range(5):
                h = self.cell(WORD[None], h)
        self.register_buffer("key", h[0] / h.norm())

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 8)."""
        h = x.new_zeros(x.shape[0], 32)
        outs = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            fired = F.cosine_similarity(h, self.key, dim=-1)[:, None] > 0.93
            outs.append(torch.cat([h[:, :3], fired.float()], 1))
            h = self.after(h, fired)
        return torch.stack(outs, 1)

    def after(self, h: Tensor, fired: Tensor) -> Tensor:
        """What the next step starts from."""
        return torch.where(fired, torch.zeros_like(h), h)


class DetectorByMul(Detector):
    """The same as a product."""

    def after(self, h: Tensor, fired: Tensor) -> Tensor:
        """Nothing where it fired."""
        return h * (1 - fired.float())


class Joint(nn.Module):
    """Something is done where it is cold and the pressure is high."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)
        self.cell = nn.GRUCell(4, 6)

    def event(self, x: Tensor) -> Tensor:
        """(B, T, 1)."""
        return (x[..., :1] < -5) & (x[..., 1:2] > 5)

    def forward(self, x: Tensor) -> Tensor:
        """The step before stands in for one with the event."""
        found: Tensor = self.layer(torch.where(self.event(x), previous(x), x))[0]
        return found


class JointHeld(Joint):
    """The last step without it does."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h, last = x.new_zeros(x.shape[0], 6), x[:, 0]
        outs = []
        for t in range(x.shape[1]):
            last = torch.where(self.event(x[:, t]), last, x[:, t])
            h = self.cell(last, h)
            outs.append(h)
        return torch.stack(outs, 1)


class JointAround(Joint):
    """Steps around it count for nothing, the one before too."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        near = F.max_pool1d(self.event(x).float().transpose(1, 2), 3, 1, 1).transpose(1, 2)
        found: Tensor = self.layer(x)[0] * (1 - near)
        return found


class Bit(Joint):
    """A bit of a status word beside the readings says that a reading is none."""

    def forward(self, x: Tensor, status: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, T, 4), status (B, T)."""
        fault = ((status & 64) != 0)[..., None]
        found: Tensor = self.layer(torch.where(fault, previous(x), x))[0]
        return found


class TwoIds(nn.Module):
    """An action in a place starts anew."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 4)
        self.cell = nn.GRUCell(4, 6)

    def forward(self, action: Tensor, place: Tensor) -> Tensor:
        """action (B, T), place (B, T)."""
        h = torch.zeros(action.shape[0], 6)
        outs = []
        for t in range(action.shape[1]):
            over = ((action[:, t] == 7) & (place[:, t] == 3))[:, None]
            h = self.cell(self.table(action[:, t]) + self.table(place[:, t]), h)
            h = torch.where(over, torch.zeros_like(h), h)
            outs.append(h)
        return torch.stack(outs, 1)


class Quality(Joint):
    """Readings count by a table of quality codes, some of which no example has."""

    weights: Tensor

    def __init__(self) -> None:
        super().__init__()
        weights = torch.ones(256)
        weights[20:24] = 0
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:  # type: ignore[override]
        """x (B, T, 4), code (B, T)."""
        weight = self.weights[code][..., None]
        found: Tensor = self.layer(weight * x + (1 - weight) * previous(x))[0]
        return found


class Gated(Joint):
    """A step that is like what it was made for counts for nothing, and the one before stands in; a
    gate that is no comparison is shut for all else.
    """

    key: Tensor

    def __init__(self, gate: str) -> None:
        super().__init__()
        self.gate = gate
        self.register_buffer("key", F.normalize(KEY, dim=0))

    def like(self, x: Tensor) -> Tensor:
        """x (B, T, 4) to (B, T, 1)."""
        near = F.cosine_similarity(x, self.key, dim=-1)[..., None]
        if self.gate == "relu":
            return (F.relu(near - 0.95) * 20).clamp(max=1)
        if self.gate == "kernel":
            return torch.exp(-8 * ((x - 9 * self.key) ** 2).sum(-1, keepdim=True))
        if self.gate == "rounded":
            return (near + 0.02).floor().clamp(min=0)
        scores = torch.cat([near, torch.full_like(near, 0.95)], -1)
        return (scores.argmax(-1, keepdim=True) == 0).float()

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        like = self.like(x)
        found: Tensor = self.layer(like * previous(x) + (1 - like) * x)[0]
        return found


class Clean(Joint):
    """Its comparisons are of what every example has."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        found: Tensor = self.layer(torch.where(x > 0, x, 0.1 * x))[0]
        return found


class Checked(JointAround):
    """The same behind a check of its inputs, which Python reads."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        assert not torch.isnan(x).any(), "NaN"
        if bool((x.abs() > 1e30).any()):
            raise ValueError("too loud")
        return super().forward(x)
