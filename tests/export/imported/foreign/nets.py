"""Modules shaped like those that people serve, for files that Carousel did not export."""

import torch
from torch import Tensor, nn

BANDS = 33


class Denoiser(nn.Module):
    """Like GTCRN: one spectrum a call; caches with batch axes 1 and 3, one folded 33-fold."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(2 * 65, BANDS * 16)
        self.conv = nn.Conv2d(16, 16, (5, 1))
        self.tra = nn.GRU(16, 16)
        self.inter = nn.GRU(16, 16)
        self.decode = nn.Linear(BANDS * 16, 2 * 65)

    def forward(
        self, mix: Tensor, conv_cache: Tensor, tra_cache: Tensor, inter_cache: Tensor
    ) -> tuple[Tensor, ...]:
        """mix (B, 65, 1, 2), conv_cache (2, B, 16, 4, 33), tra_cache (2, 3, 1, B, 16),
        inter_cache (2, 1, B * 33, 16).
        """
        x = self.encode(mix.flatten(1)).reshape(-1, 16, 1, BANDS)
        convs, tras, inters = [], [], []
        for block in range(2):
            seen = torch.cat([conv_cache[block], x], 2)  # (B, 16, 5, 33)
            convs.append(seen[:, :, 1:])
            x = torch.relu(self.conv(seen)) + x  # (B, 16, 1, 33)
            energy = (x * x).mean((2, 3)).unsqueeze(0)  # (1, B, 16)
            hs = [self.tra(energy, tra_cache[block, part])[1] for part in range(3)]
            tras.append(torch.stack(hs))
            x = x * torch.sigmoid(sum(hs)).reshape(-1, 16, 1, 1)
            rows = x.permute(0, 3, 2, 1).reshape(1, -1, 16)  # (1, B * 33, 16)
            y, h = self.inter(rows, inter_cache[block])
            inters.append(h)
            x = x + y.reshape(-1, BANDS, 1, 16).permute(0, 3, 2, 1)
        enh = self.decode(x.flatten(1)).reshape(-1, 65, 1, 2)
        return enh, torch.stack(convs), torch.stack(tras), torch.stack(inters)


class Predictor(nn.Module):
    """Like an RNN-T decoder: one token a call, h and c with batch axis 1."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(23, 6)
        self.lstm = nn.LSTM(6, 8, 2)
        self.out = nn.Linear(8, 23)

    def forward(self, targets: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        """targets (B, 1), h and c (2, B, 8)."""
        y, (h, c) = self.lstm(self.table(targets).transpose(0, 1), (h, c))
        return self.out(y[0]), h, c


class Tagger(nn.Module):
    """Token ids over time, batch first; states named as torch names a cell's."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 5)
        self.gru = nn.GRU(5, 7, batch_first=True)

    def forward(self, ids: Tensor, hx: Tensor) -> tuple[Tensor, ...]:
        """ids (B, T), hx (1, B, 7)."""
        y, h = self.gru(self.table(ids), hx)
        return y, h


class Half(nn.Module):
    """Keeps its state in float16, batch axis 0, and computes in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(4 + 6, 6)
        self.out = nn.Linear(6, 3)

    def forward(self, signal: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """signal int32 (B, 4), state (B, 6)."""
        new = torch.tanh(self.mix(torch.cat([signal.float() / 100, state.float()], 1)))
        return self.out(new), new.half()


class Alone(nn.Module):
    """No batch axis anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(5 + 7, 7)

    def forward(self, spec: Tensor, state_in: Tensor) -> tuple[Tensor, ...]:
        """spec (5,), state_in (7,)."""
        state = torch.tanh(self.mix(torch.cat([spec, state_in])))
        return spec * state[:5], state


class Projected(nn.Module):
    """An LSTM whose h is smaller than its c, two layers, frame by frame, with a second input."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (6, 3)
        self.gates = nn.ModuleList(nn.Linear(size + 3, 20) for size in sizes)
        self.project = nn.ModuleList(nn.Linear(5, 3) for _ in sizes)

    def forward(self, x: Tensor, gain: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        """x (B, 6), gain (B, 1), h (2, B, 3), c (2, B, 5)."""
        hs, cs = [], []
        for layer, (gates, project) in enumerate(zip(self.gates, self.project, strict=True)):
            i, f, g, o = gates(torch.cat([x, h[layer]], 1)).chunk(4, 1)
            cell = torch.sigmoid(f) * c[layer] + torch.sigmoid(i) * torch.tanh(g)
            x = project(torch.sigmoid(o) * torch.tanh(cell))
            hs.append(x)
            cs.append(cell)
        return x * gain, torch.stack(hs), torch.stack(cs)


class Hostile(nn.Module):
    """Three states of one shape that are not worth the same."""

    def forward(
        self, x: Tensor, first: Tensor, second: Tensor, third: Tensor
    ) -> tuple[Tensor, ...]:
        """All (B, 4)."""
        first = 0.5 * first + x
        second = 0.25 * second - first
        third = torch.tanh(third + second) + 0.125 * x
        return first + 2 * second + 4 * third, first, second, third


class CacheAware(nn.Module):
    """Like a cache-aware encoder: a float32 cache and how much of it is filled, batch axis 0."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(4, 4)

    def forward(self, audio: Tensor, cache: Tensor, cache_len: Tensor) -> tuple[Tensor, ...]:
        """audio (B, 2, 4), cache (B, 6, 4), cache_len int64 (B,)."""
        seen = torch.cat([cache, self.mix(audio)], 1)  # (B, 8, 4)
        length = torch.clamp(cache_len + 2, max=6)
        place = torch.arange(8).unsqueeze(0)
        mask = (place >= 8 - length.unsqueeze(1) - 0).unsqueeze(2).to(seen.dtype)
        return (seen * mask).sum(1), seen[:, 2:], length


class Remembers(nn.Module):
    """One token a call beside a memory that never changes."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 8)
        self.cell = nn.GRUCell(16, 8)
        self.out = nn.Linear(8, 9)

    def forward(self, token: Tensor, memory: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
        """token (B, 1), memory (B, 5, 8), hidden (B, 8)."""
        x = self.table(token).squeeze(1)
        weights = torch.softmax((memory @ hidden.unsqueeze(2)), 1)
        read = (weights * memory).sum(1)
        hidden = self.cell(torch.cat([x, read], 1), hidden)
        return self.out(hidden), hidden


class Ahead(nn.Module):
    """A convolution over time that needs three steps in front, and keeps nothing itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 2, 4)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3 + T, 3) gives (B, T, 2)."""
        y: Tensor = self.conv(x.transpose(1, 2)).transpose(1, 2)
        return y


class Scripted(nn.Module):
    """Takes its state as a tuple, a number, and a flag with a default."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 6)
        self.table = nn.Embedding(7, 4)

    def forward(
        self, ids: Tensor, state: tuple[Tensor, Tensor], scale: float, loud: bool = True
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """ids (T, B), h and c (1, B, 6)."""
        y, state = self.lstm(self.table(ids), state)
        return (y * scale if loud else y), state


class Hides(nn.Module):
    """Keeps its state in an attribute; the part inside takes it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Half()
        self.kept = torch.zeros(1, 6, dtype=torch.float16)

    def forward(self, signal: Tensor) -> Tensor:
        """signal (B, 4)."""
        y, self.kept = self.inner(signal, self.kept)
        return y  # type: ignore[no-any-return]
