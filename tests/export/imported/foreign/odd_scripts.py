"""TorchScript files as odd as TorchScript allows."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tests.export.imported.foreign.files import script_bytes


class Asserts(nn.Module):
    """Raises for what its author did not foresee."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Both (B, 4)."""
        if x.size(0) > 64:
            raise ValueError("too many rows")
        assert float(h.abs().max()) <= 100.0, "a state that cannot be"
        h = torch.tanh(x + h)
        return h * 2, h


class Refuses(nn.Module):
    """Raises whatever comes."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 4)."""
        assert x.size(1) == 7, "seven were agreed"
        return x


class Named(nn.Module):
    """Answers by name."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """x (B, 4)."""
        return {"y": torch.tanh(x)}


class Listed(nn.Module):
    """Answers with a list."""

    def forward(self, x: Tensor) -> list[Tensor]:
        """x (B, 4)."""
        return [x, torch.tanh(x)]


class Silent(nn.Module):
    """Answers nothing."""

    def forward(self, x: Tensor) -> None:
        """x (B, 4)."""


class Number(nn.Module):
    """Answers with a number that is no tensor."""

    def forward(self, x: Tensor) -> tuple[Tensor, float]:
        """x (B, 4)."""
        return torch.tanh(x), 0.5


class Perhaps(nn.Module):
    """Takes a state, or none."""

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Both (B, 4)."""
        start = torch.zeros_like(x) if h is None else h
        h = torch.tanh(x + start)
        return h * 2, h


class Told(nn.Module):
    """Takes a word."""

    def forward(self, x: Tensor, mode: str) -> Tensor:
        """x (B, 4)."""
        return torch.tanh(x) if mode == "tanh" else x


class Nothing(nn.Module):
    """Takes nothing."""

    def forward(self) -> Tensor:
        """A constant."""
        return torch.ones(2)


class Overwrites(nn.Module):
    """Writes into the state that it is given."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Both (B, 4)."""
        h.add_(x).tanh_()
        return h * 2, h


class Given(nn.Module):
    """Gives back its input itself."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Both (B, 4)."""
        return x, torch.tanh(x + h), h


class Empty(nn.Module):
    """Gives what has no size."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 4)."""
        return torch.tanh(x), x[:, :0]


class Complex(nn.Module):
    """Answers with complex numbers."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 4)."""
        return torch.complex(x, x)


_MODULES: tuple[type[nn.Module], ...] = (
    *(Asserts, Refuses, Named, Listed, Silent, Number, Perhaps, Told, Nothing, Overwrites),
    *(Given, Empty, Complex),
)


def _writer(module: type[nn.Module]) -> Callable[[], bytes]:
    return lambda: script_bytes(module())


SCRIPTS: Mapping[str, Callable[[], bytes]] = {each.__name__: _writer(each) for each in _MODULES}
