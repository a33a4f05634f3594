"""Files that give fewer steps than they take: one output for every few of them."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tests.export.imported.foreign.files import onnx_bytes


class Pooled(nn.Module):
    """A GRU over the largest of every `stride` steps, or over what a strided layer makes of
    them.
    """

    def __init__(self, shorten: nn.Module, bidirectional: bool = False) -> None:
        super().__init__()
        self.shorten = shorten
        self.gru = nn.GRU(3, 4, batch_first=True, bidirectional=bidirectional)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """x (B, T, 3)."""
        y, h = self.gru(self.shorten(x.transpose(1, 2)).transpose(1, 2))
        return y, h[-1]


class PooledWithState(Pooled):
    """The same, its state explicit."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """x (B, T, 3), h (1, B, 4)."""
        y, h = self.gru(self.shorten(x.transpose(1, 2)).transpose(1, 2), h)
        return y, h


class Both(nn.Module):
    """One output for every step, and one for every second."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """x (B, T, 3)."""
        return torch.tanh(x), nn.functional.max_pool1d(x.transpose(1, 2), 2).transpose(1, 2)


def _file(module: Callable[[], nn.Module], outputs: list[str], state: bool = False) -> bytes:
    torch.manual_seed(0)
    example = {"x": torch.zeros(2, 12, 3)}
    axes = {"x": {0: "N", 1: "T"}}
    if state:
        example["h"], axes["h"] = torch.zeros(1, 2, 4), {1: "N"}
    return onnx_bytes(module(), example, outputs, axes)


# By what each gives an output: for every so many steps, the rest of them left out.
STRIDED: Mapping[str, tuple[int, Callable[[], bytes]]] = {
    "pooled-2": (2, lambda: _file(lambda: Pooled(nn.MaxPool1d(2)), ["y", "last"])),
    "pooled-3": (3, lambda: _file(lambda: Pooled(nn.MaxPool1d(3)), ["y", "last"])),
    "pooled-4": (4, lambda: _file(lambda: Pooled(nn.AvgPool1d(4)), ["y", "last"])),
    # Of fewer than eight steps ONNX Runtime makes one.
    "pooled-8": (8, lambda: _file(lambda: Pooled(nn.MaxPool1d(8)), ["y", "last"])),
    "strided": (2, lambda: _file(lambda: Pooled(nn.Conv1d(3, 3, 2, stride=2)), ["y", "last"])),
    "recogniser": (
        4,
        lambda: _file(
            lambda: Pooled(
                nn.Sequential(
                    nn.Conv1d(3, 5, 2, stride=2), nn.ReLU(), nn.Conv1d(5, 3, 2, stride=2)
                ),
                bidirectional=True,
            ),
            ["y", "last"],
        ),
    ),
}


def with_state(stride: int) -> bytes:
    """A pooled GRU whose state is an input."""
    return _file(lambda: PooledWithState(nn.MaxPool1d(stride)), ["y", "hn"], state=True)


def both() -> bytes:
    """Every step and every second."""
    return _file(Both, ["every", "second"])


def rounded_up() -> bytes:
    """An output for every second step and one more where a step is left over."""
    return _file(lambda: Pooled(nn.Conv1d(3, 3, 3, stride=2, padding=1)), ["y", "last"])


def longer() -> bytes:
    """Two outputs for every step."""
    return _file(lambda: Pooled(nn.ConvTranspose1d(3, 3, 2, stride=2)), ["y", "last"])
