"""Small files whose open axes are called anything: one graph, and names for its axes.

A and B are the names to be given: A is the axis of rows and B that of time, as far as there are
two.
"""

from collections.abc import Callable, Mapping
from functools import cache

import onnx
import torch
from torch import Tensor, nn

from tests.export.imported.foreign.files import onnx_bytes

NAMES = (
    *("T", "L", "time", "frames", "S", "N", "width", "audio", "s77", "unk__314"),
    *("x_dynamic_axes_1", "batch", "seq_len", ""),
)
PAIRS = (
    *(("N", "T"), ("T", "N"), ("batch", "time"), ("time", "batch"), ("s77", "s12"), ("s12", "s77")),
    *(("audio", "S"), ("frames", "len"), ("unk__314", "x_dynamic_axes_1"), ("", "")),
)


class Convolved(nn.Module):
    """Every step hears the one before and the one after it: no chunk equals the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 5, 3, padding=1)
        self.gru = nn.GRU(5, 6, batch_first=True)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """x (B, 4, T), h (1, B, 6)."""
        y, h = self.gru(self.conv(x).transpose(1, 2), h)
        return y, h


class Recurrent(nn.Module):
    """A GRU over time, its state explicit."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=batch_first)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """x (B, T, 4) or (T, B, 4), h (1, B, 6)."""
        y, h = self.gru(x, h)
        return y, h


class Hidden(nn.Module):
    """A GRU over time that starts from zero."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, 4)."""
        return self.gru(x)[0]  # type: ignore[no-any-return]


class Cell(nn.Module):
    """One frame a call."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRUCell(4, 6)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """x (B, 4), h (B, 6)."""
        h = self.gru(x, h)
        return 2 * h, h


def _file(
    module: Callable[[], nn.Module],
    example: Mapping[str, Tensor],
    outputs: list[str],
    axes: Mapping[str, Mapping[int, str]],
) -> bytes:
    torch.manual_seed(0)
    return onnx_bytes(module(), example, outputs, axes)


_STATE = {"h": torch.zeros(1, 2, 6)}
_ONE = {"h": torch.zeros(1, 1, 6)}
_ENDS = ["y", "hn"]

_FILES: Mapping[str, Callable[[], bytes]] = {
    "one convolved row": lambda: _file(
        Convolved, {"x": torch.zeros(1, 4, 7)} | _ONE, _ENDS, {"x": {2: "A"}, "y": {1: "A"}}
    ),
    "convolved windows": lambda: _file(
        Convolved,
        {"x": torch.zeros(2, 4, 7)} | _STATE,
        _ENDS,
        {"x": {0: "A"}, "h": {1: "A"}, "y": {0: "A"}, "hn": {1: "A"}},
    ),
    "convolved rows": lambda: _file(
        Convolved,
        {"x": torch.zeros(2, 4, 7)} | _STATE,
        _ENDS,
        {"x": {0: "A", 2: "B"}, "h": {1: "A"}, "y": {0: "A", 1: "B"}, "hn": {1: "A"}},
    ),
    "one row": lambda: _file(
        lambda: Recurrent(batch_first=True),
        {"x": torch.zeros(1, 7, 4)} | _ONE,
        _ENDS,
        {"x": {1: "A"}, "y": {1: "A"}},
    ),
    "frames": lambda: _file(
        Cell,
        {"x": torch.zeros(2, 4), "h": torch.zeros(2, 6)},
        _ENDS,
        {name: {0: "A"} for name in ("x", "h", "y", "hn")},
    ),
    "rows": lambda: _file(
        lambda: Recurrent(batch_first=True),
        {"x": torch.zeros(2, 7, 4)} | _STATE,
        _ENDS,
        {"x": {0: "A", 1: "B"}, "h": {1: "A"}, "y": {0: "A", 1: "B"}, "hn": {1: "A"}},
    ),
    "rows, time first": lambda: _file(
        lambda: Recurrent(batch_first=False),
        {"x": torch.zeros(7, 2, 4)} | _STATE,
        _ENDS,
        {"x": {1: "A", 0: "B"}, "h": {1: "A"}, "y": {1: "A", 0: "B"}, "hn": {1: "A"}},
    ),
    "rows, hidden state": lambda: _file(
        Hidden, {"x": torch.zeros(2, 7, 4)}, ["y"], {"x": {0: "A", 1: "B"}, "y": {0: "A", 1: "B"}}
    ),
    "rows, state's own axis": lambda: _file(
        lambda: Recurrent(batch_first=True),
        {"x": torch.zeros(2, 7, 4)} | _STATE,
        _ENDS,
        {"x": {0: "C", 1: "B"}, "h": {1: "A"}, "y": {0: "C", 1: "B"}, "hn": {1: "A"}},
    ),
}


@cache
def _made(file: str) -> bytes:
    return _FILES[file]()


def with_axes(file: str, rows: str, time: str = "B") -> bytes:
    """The file with its axes called so; a name that is empty leaves them without one."""
    model = onnx.load_from_string(_made(file))
    del model.graph.value_info[:]
    names = {"A": rows, "B": time}
    for each in (*model.graph.input, *model.graph.output):
        for size in each.type.tensor_type.shape.dim:
            if size.dim_param in names:
                name = names[size.dim_param]
                size.ClearField("dim_param")
                if name:
                    size.dim_param = name
    return bytes(model.SerializeToString())
