"""Modules that round: some also do what is no rounding, beside it or because of it."""

import torch
from torch import Tensor, nn


class Cell(nn.Module):
    """A cell in a loop, 4 features to 6; `answer` says what comes out of a step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)
        self.rate = nn.Parameter(torch.linspace(1.0, 3.0, 4))

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """x (B, T, 4)."""
        h, p = x.new_zeros(x.shape[0], 6), x.new_zeros(x.shape[0], 4)
        outs = []
        for t in range(x.shape[1]):
            h, p = self.step(t, self.cell(x[:, t], h), p)
            outs.append(self.answer(h, p))
        found = [torch.stack(each, 1) for each in zip(*outs, strict=True)]
        return found[0] if len(found) == 1 else tuple(found)

    def step(self, t: int, h: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """What goes on."""
        return h, p + self.rate

    def answer(self, h: Tensor, p: Tensor) -> tuple[Tensor, ...]:
        """What comes out of a step."""
        return (torch.cat([p.sin(), h], -1),)


class Timeout(Cell):
    """Silent after 1.2 s at 100 Hz: float32 meets that a step beside float64."""

    def step(self, t: int, h: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """Time goes on."""
        return h, p + 0.01

    def answer(self, h: Tensor, p: Tensor) -> tuple[Tensor, ...]:
        """Nothing when it is late."""
        return (torch.where(p[:, :1] > 1.2, h * 0, h),)


class PhaseReset(Cell):
    """A phase, which float32 loses, beside a state that begins anew."""

    def step(self, t: int, h: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """Begins anew every 1,500 steps."""
        return h * 0 if t > 0 and t % 1500 == 0 else h, p + self.rate


class OtherOutput(PhaseReset):
    """The same in two outputs."""

    def answer(self, h: Tensor, p: Tensor) -> tuple[Tensor, ...]:
        """Each by itself."""
        return h, p.sin()


class BesideLarge(PhaseReset):
    """A small number beside large ones, which by themselves might be off by as much."""

    def answer(self, h: Tensor, p: Tensor) -> tuple[Tensor, ...]:
        """Both in one."""
        return (torch.cat([p * 100, h], -1),)


class TimeoutLayer(nn.Module):
    """The same as `Timeout`, without a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        now, y = torch.full_like(x[..., :1], 0.01).cumsum(1), self.layer(x)[0]
        return torch.where(now > 1.2, y * 0.1, y)


class Tired(nn.Module):
    """Tired after so much that was active."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h, spent = x.new_zeros(x.shape[0], 6), x.new_zeros(x.shape[0], 1)
        outs = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            spent = spent + 0.01 * (x[:, t, :1] > 0).float()
            outs.append(torch.where(spent > 5.0, h * 0.5, h))
        return torch.stack(outs, 1)


class WholeLate(nn.Module):
    """Served whole, and another way for long ones beside a phase that float32 loses."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        y = self.layer(x)[0]
        if x.shape[1] > 1800:
            late = torch.arange(x.shape[1]) > 1800
            y = y * torch.where(late, 0.1, 1.0)[None, :, None]
        return torch.cat([y, torch.sin((x * 2 + 3).cumsum(1))], -1)


class Chaos(nn.Module):
    """A reservoir that never settles: what is rounded away comes back as large as all else."""

    def __init__(self, radius: float = 1.6) -> None:
        super().__init__()
        self.layer = nn.RNN(4, 40, batch_first=True)
        with torch.no_grad():
            made = torch.randn(40, 40, generator=torch.Generator().manual_seed(3))
            made *= radius / torch.linalg.eigvals(made).abs().max()
            self.layer.load_state_dict({**self.layer.state_dict(), "weight_hh_l0": made})

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        found: Tensor = self.layer(x)[0]
        return found


class Phase(Cell):
    """A phase alone, read off by a sine."""

    def answer(self, h: Tensor, p: Tensor) -> tuple[Tensor, ...]:
        """Both in one, nothing begins anew."""
        return (torch.cat([p.sin(), h], -1),)


class SumOfSums(nn.Module):
    """A sum of sums: rounding grows with a power of the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        h = total = twice = x.new_zeros(x.shape[0], 6)
        outs: list[Tensor] = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            total = total + h + 0.1
            twice = twice + total
            outs.append((twice * 0.01).sin())
        return torch.stack(outs, 1)
