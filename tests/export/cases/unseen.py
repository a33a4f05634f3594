# mypy: disable-error-code="no-any-return"
# (nn.Module.__call__ returns Any.)
"""Modules whose tensors come in containers, of every kind that people pass to `forward`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


@dataclass
class Features:
    """Frames (B, T, 6), how loud each row is to be (B, 1), and things that are no tensors."""

    x: torch.Tensor
    gain: torch.Tensor
    rate: int = 16000
    mask: torch.Tensor | None = None
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Frozen:
    """The same, that nobody may write into and that has no __dict__."""

    x: torch.Tensor
    gain: torch.Tensor


class Plain:
    """The same, in an object of one's own whose constructor computes."""

    def __init__(self, audio: torch.Tensor, loudness: torch.Tensor) -> None:
        self.x = audio * 1.0
        self.gain = loudness.exp()
        self.name = "batch"


class Slots:
    """The same, without a __dict__."""

    __slots__ = ("gain", "x")

    def __init__(self, x: torch.Tensor, gain: torch.Tensor) -> None:
        self.x, self.gain = x, gain


class Named(NamedTuple):
    """The same as a named tuple."""

    x: torch.Tensor
    gain: torch.Tensor


class Nested(NamedTuple):
    """A named tuple around an object."""

    features: Features
    scale: float


class Reads(nn.Module):
    """A GRU over the frames of its container, each row at its own loudness."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def both(self, x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
        """What every one of these answers."""
        return self.gru(x)[0] * gain[:, None]

    def forward(self, batch: Any) -> torch.Tensor:
        return self.both(batch.x, batch.gain)


class ReadsInside(Reads):
    """The container stands in a dict in a list."""

    def forward(self, batch: list[dict[str, Any]]) -> torch.Tensor:
        return super().forward(batch[0]["features"])


class ReadsNested(Reads):
    """The object stands in a named tuple, beside a number."""

    def forward(self, batch: Nested) -> torch.Tensor:
        return super().forward(batch.features) * batch.scale


class ReadsDict(Reads):
    """A dict in a dict."""

    def forward(self, batch: dict[str, Any]) -> torch.Tensor:
        return self.both(batch["x"], batch["meta"]["gain"])


class Masked(Reads):
    """A frame tensor of its own, the rest in an object that is left as it is found."""

    def forward(self, x: torch.Tensor, extras: Features) -> torch.Tensor:  # type: ignore[override]
        return self.both(x, extras.gain)


class PacksByList(nn.Module):
    """Packs by a Python list of lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        sizes = torch.tensor(list(lengths))
        packed = pack_padded_sequence(x, sizes, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.gru(packed)[0], batch_first=True)[0]


class MasksByList(nn.Module):
    """Masks by them."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
        valid = torch.arange(x.shape[1]) < torch.tensor(list(lengths))[:, None]
        return self.gru(x)[0] * valid[..., None]


class Applies(Reads):
    """Applies a function that it is given."""

    def forward(  # type: ignore[override]
        self, x: torch.Tensor, scaling: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        return self.gru(scaling(x))[0]


class Vault:
    """Hides its tensor where nobody can look for it: in a closure."""

    def __init__(self, gain: torch.Tensor) -> None:
        self.get: Callable[[], torch.Tensor] = lambda: gain

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.get()


class Consumes(Reads):
    """Reads its gain from an iterator, which is empty the next time."""

    def forward(self, x: torch.Tensor, gains: Iterator[torch.Tensor]) -> torch.Tensor:  # type: ignore[override]
        return self.both(x, next(gains))


def partial_of(gain: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """A multiplication with its factor inside."""
    return partial(torch.mul, gain)
