"""Recurrences hidden in an op along time: scans, running statistics, shifts."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.export.lifting.case import Case, floats, inputs, mask, tokens


class CumsumIntegrator(nn.Module):
    """Positions from velocities: cumsum between two linears."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.velocity = nn.Linear(features, hidden)
        self.read = nn.Linear(hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        y: Tensor = self.read(torch.sin(torch.cumsum(0.3 * self.velocity(x), dim=1)))
        return y


class CumprodSurvival(nn.Module):
    """Discrete survival: hazards by a linear, survival by cumprod."""

    def __init__(self, features: int, risks: int) -> None:
        super().__init__()
        self.hazard = nn.Linear(features, risks)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, 2 risks]: survival and incidence."""
        h = torch.sigmoid(self.hazard(x) - 1.5)
        survival = torch.cumprod(1 - h, dim=1)
        before = torch.cat([torch.ones_like(survival[:, :1]), survival[:, :-1]], 1)
        return torch.cat([survival, before * h], -1)


class CummaxDrawdown(nn.Module):
    """Drawdown: how far the value is under its running maximum, and over its running minimum."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * features, features)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        top = x.cummax(dim=1).values
        low, _ = torch.cummin(x, 1)
        y: Tensor = self.mix(torch.cat([top - x, x - low], 2))
        return y


class RunningLogSumExp(nn.Module):
    """Soft running maximum by logcumsumexp."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.rand(features) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        return torch.logcumsumexp(x * self.temperature, dim=1) / self.temperature


class CumulativeMean(nn.Module):
    """Running mean by cumsum over an arange divisor."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.proj = nn.Linear(2 * features, features)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        n = torch.arange(1, x.size(1) + 1, device=x.device, dtype=x.dtype)
        mean = x.cumsum(1) / n.view(1, -1, 1)
        y: Tensor = self.proj(torch.cat([x - mean, mean], -1))
        return y


class CumulativeNorm(nn.Module):
    """Cumulative layer norm of speech separation: running mean and std over time and channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(1, channels, 1) + 0.5)
        self.bias = nn.Parameter(torch.randn(1, channels, 1))
        self.eps = 1e-5

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, T] to [B, C, T]."""
        channels, steps = x.size(1), x.size(2)
        cum_sum = torch.cumsum(x.sum(1), dim=1)
        cum_pow = torch.cumsum(x.pow(2).sum(1), dim=1)
        count = torch.arange(channels, channels * (steps + 1), channels, dtype=x.dtype).view(1, -1)
        mean = cum_sum / count
        std = (cum_pow / count - mean.pow(2) + self.eps).sqrt()
        return (x - mean.unsqueeze(1)) / std.unsqueeze(1) * self.gain + self.bias


class MaskPositions(nn.Module):
    """Positions counted over valid steps only: cumsum of the mask into sines."""

    frequency: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("frequency", 1.0 / 10.0 ** torch.arange(0, 1, 2 / features))

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        """x [B, T, F], F even, and m [B, T] to [B, T, F]."""
        position = (torch.cumsum(m.long(), dim=1) * m.long()).unsqueeze(-1) * self.frequency
        return (x + torch.cat([position.sin(), position.cos()], -1)) * m.unsqueeze(-1)


class PaddedTokenPositions(nn.Module):
    """Token and position embeddings, the position a cumsum over the tokens that are not padding."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width, padding_idx=0)
        self.proj = nn.Linear(width, width)
        self.slope = nn.Parameter(torch.randn(width) * 0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [B, T] int64 to [B, T, W]."""
        valid = tokens.ne(0).int()
        position = torch.cumsum(valid, dim=1).type_as(valid) * valid
        y: Tensor = self.proj(self.words(tokens)) + torch.tanh(position.unsqueeze(-1) * self.slope)
        return y


class MinGRUParallel(nn.Module):
    """minGRU in log space: the whole recurrence is a cumsum and a logcumsumexp."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.linear_z = nn.Linear(features, hidden)
        self.linear_h = nn.Linear(features, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, H]."""
        k, raw = self.linear_z(x), self.linear_h(x)
        log_coeffs = -F.softplus(k)
        log_h = torch.where(raw >= 0, (F.relu(raw) + 0.5).log(), -F.softplus(-raw))
        log_values = log_h - F.softplus(-k)
        a_star = torch.cumsum(log_coeffs, dim=1)
        return torch.exp(a_star + torch.logcumsumexp(log_values - a_star, dim=1))


class EMAByCumsum(nn.Module):
    """Exponential mean as a cumsum weighted by the inverse powers of the decay."""

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]; the powers overflow after some 800 steps."""
        power = self.decay ** torch.arange(x.size(1), dtype=x.dtype, device=x.device)
        power = power[None, :, None]
        return (1 - self.decay) * power * torch.cumsum(x / power, dim=1)


class DiffPrepend(nn.Module):
    """Differences of first and second order by torch.diff with zeros prepended."""

    def __init__(self, features: int, out: int) -> None:
        super().__init__()
        self.proj = nn.Linear(3 * features, out)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, out]."""
        zero = x.new_zeros(x.size(0), 1, x.size(2))
        delta = torch.diff(x, dim=1, prepend=zero)
        delta2 = torch.diff(delta, dim=1, prepend=zero)
        y: Tensor = self.proj(torch.cat([x, delta, delta2], -1))
        return y


class TokenShift(nn.Module):
    """Channel mix over a shifted copy made by cat([zeros, x[:, :-1]])."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.rand(width))
        self.key = nn.Linear(width, 2 * width, bias=False)
        self.value = nn.Linear(2 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W] to [B, T, W]."""
        shifted = torch.cat([torch.zeros_like(x[:, :1]), x[:, :-1]], dim=1)
        k = self.key(torch.lerp(shifted, x, self.mix))
        y: Tensor = self.value(torch.relu(k).square())
        return y


class ShiftBySliceWrite(nn.Module):
    """Copies shifted by one and by two, made by writing slices of zeros."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3, width))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, W] to [B, T, W]."""
        one, two = torch.zeros_like(x), torch.zeros_like(x)
        one[:, 1:] = x[:, :-1]
        two[:, 2:] = x[:, :-2]
        return torch.tanh(self.w[0] * x + self.w[1] * one + self.w[2] * two)


class EventsSinceLast(nn.Module):
    """Steps since the last event, by cummax over the indices of the events."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.rand(features) * 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, F] to [B, T, F]."""
        n = torch.arange(x.size(1), device=x.device).view(1, -1, 1)
        last = torch.where(x > 0.5, n, -1).cummax(dim=1)[0]
        return torch.exp(-self.rate * (n - last)) * x.tanh()


X = inputs(floats(4), steps=8)
CASES: dict[str, Case] = {
    "cumsum_integrator": Case(lambda: CumsumIntegrator(4, 6), X, "step", "one running sum"),
    "cumprod_survival": Case(lambda: CumprodSurvival(4, 2), X, "step", "product and a shift"),
    "cummax_drawdown": Case(lambda: CummaxDrawdown(4), X, "step", "running maximum and minimum"),
    "running_log_sum_exp": Case(lambda: RunningLogSumExp(4), X, "step", "one running logsumexp"),
    "cumulative_mean": Case(lambda: CumulativeMean(4), X, "step", "a sum and a count"),
    "cumulative_norm": Case(
        lambda: CumulativeNorm(4), inputs(floats(4), time=2), "step", "two sums and a count", time=2
    ),
    "mask_positions": Case(
        lambda: MaskPositions(4), inputs(floats(4), mask()), "step", "an int64 count a row"
    ),
    "padded_token_positions": Case(
        lambda: PaddedTokenPositions(9, 5), inputs(tokens(9)), "step", "an integer count a row"
    ),
    "min_gru_parallel": Case(lambda: MinGRUParallel(4, 5), X, "step", "a sum and a logsumexp"),
    "ema_by_cumsum": Case(lambda: EMAByCumsum(0.9), X, "step", "a sum and a position"),
    "diff_prepend": Case(lambda: DiffPrepend(4, 5), X, "step", "two delays"),
    "token_shift": Case(lambda: TokenShift(4), X, "step", "the last input"),
    "shift_by_slice_write": Case(lambda: ShiftBySliceWrite(4), X, "step", "two delays, written"),
    "events_since_last": Case(lambda: EventsSinceLast(4), X, "step", "a count and a maximum"),
}
