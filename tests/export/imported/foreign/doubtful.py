"""Files of which something must be said, what a stranger to them would be told first, and what they
are: the inputs that clients send and the pairs, by hand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from onnx import helper
from torch import Tensor, nn

from tests.export.imported.foreign.axes import with_axes
from tests.export.imported.foreign.files import onnx_bytes
from tests.export.imported.foreign.graphs import cell
from tests.export.imported.foreign.pairs import one_state
from tests.export.imported.refused_models import Attends, Coupled, Grows, Unused


@dataclass(frozen=True)
class Doubtful:
    """A file, what is said of it, and its truth: `sent` by clients, `states` with their outputs."""

    make: Callable[[], bytes]
    sent: frozenset[str]
    states: Mapping[str, str]
    flags: tuple[str, ...] = ()
    outputs: tuple[str, ...] = field(default=())


class Ring(nn.Module):
    """The mean of the last frames, however many are kept."""

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 4), cache (B, L, 4)."""
        seen = torch.cat([cache, x.unsqueeze(1)], 1)
        return seen.mean(1), seen[:, 1:]


class FoldedRing(nn.Module):
    """The same with the rows of all sessions in one axis."""

    def forward(self, x: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, 4), cache (B * L, 4)."""
        seen = torch.cat([cache.reshape(x.shape[0], -1, 4), x.unsqueeze(1)], 1)
        return seen.mean(1), seen[:, 1:].reshape(-1, 4)


class OneRow(nn.Module):
    """Written for one row, whatever its axes say."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Both (1, 4)."""
        h = torch.tanh(x.reshape(1, 4) + h)
        return h * 2, h


class Flat(nn.Module):
    """Answers with time steps and rows in one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.RNN(3, 4)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (T, B, 3), h (1, B, 4)."""
        y, h = self.rnn(x, h)
        return y.reshape(-1, 4), h


class Enhances(nn.Module):
    """A frame of audio made better; its memory is the only state."""

    def forward(self, audio: Tensor, mem: Tensor, gain: Tensor) -> tuple[Tensor, ...]:
        """audio (B, 8), mem (B, 5), gain (B, 8)."""
        mem = torch.tanh(mem + audio[:, :5])
        return 0.5 * audio + mem.sum(1, keepdim=True) + gain, mem, mem[:, :1]


class Conditioned(nn.Module):
    """No state at all, though an output is called as an input is."""

    def forward(self, x: Tensor, cond: Tensor) -> tuple[Tensor, ...]:
        """Both (B, 8)."""
        both = torch.tanh(x + cond)
        return both, both[:, :1]


class Buffered(nn.Module):
    """Two states, of which one is called so."""

    def forward(self, x: Tensor, h: Tensor, buf: Tensor) -> tuple[Tensor, ...]:
        """x (B, 4), h (B, 6), buf (B, 5)."""
        h = torch.tanh(h + x.sum(1, keepdim=True) + buf.sum(1, keepdim=True))
        return h[:, :3], h, h[:, 1:]


class Halved(nn.Module):
    """Takes its state in float32 and gives it back in float16."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        """Both (B, 4)."""
        h = torch.tanh(x + h)
        return h * 2, h.half()


class Centred(nn.Module):
    """Every step is measured against all others, and the mean is kept."""

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """x (T, 4), h (4,)."""
        h = torch.tanh(h + x.mean(0))
        return x - x.mean(0) + h, h


def _file(
    module: Callable[[], nn.Module],
    outputs: list[str],
    axes: Mapping[str, Mapping[int, str]],
    **shapes: tuple[int, ...],
) -> Callable[[], bytes]:
    """ONNX of a module; its weights are the same at every call."""

    def make() -> bytes:
        torch.manual_seed(0)
        example = {name: torch.randn(shape) for name, shape in shapes.items()}
        return onnx_bytes(module(), example, outputs, axes)

    return make


def _rows(*names: str) -> dict[str, dict[int, str]]:
    return {name: {0: "N"} for name in names}


_X = frozenset({"x"})
_ENDS = ["y", "hn"]
_NONZERO = helper.make_node("NonZero", ["hn"], ["z"])
_KEPT = helper.make_node("Identity", ["state2"], ["state2_out"])

DOUBTFUL: Mapping[str, Doubtful] = {
    "runs with one row": Doubtful(
        _file(OneRow, _ENDS, _rows("x", "h"), x=(1, 4), h=(1, 4)), _X, {"h": "hn"}
    ),
    "rows and time in one axis": Doubtful(
        _file(Flat, _ENDS, {"x": {0: "T", 1: "N"}, "h": {1: "N"}}, x=(5, 2, 3), h=(1, 2, 4)),
        _X,
        {"h": "hn"},
    ),
    "a length that is open": Doubtful(
        _file(Ring, ["y", "cache_out"], {"cache": {1: "L"}}, x=(1, 4), cache=(1, 3, 4)),
        _X,
        {"cache": "cache_out"},
    ),
    "a length that is open, in batches": Doubtful(
        _file(
            Ring,
            ["y", "cache_out"],
            {"x": {0: "N"}, "cache": {0: "N", 1: "L"}},
            x=(2, 4),
            cache=(2, 3, 4),
        ),
        _X,
        {"cache": "cache_out"},
    ),
    "a fold that is open": Doubtful(
        _file(
            FoldedRing,
            ["y", "cache_out"],
            {"x": {0: "N"}, "cache": {0: "M"}},
            x=(2, 4),
            cache=(6, 4),
        ),
        _X,
        {"cache": "cache_out"},
    ),
    "a state beside another": Doubtful(
        _file(
            Buffered, ["y", "hn", "buf_out"], _rows("x", "h", "buf"), x=(3, 4), h=(3, 6), buf=(3, 5)
        ),
        _X,
        {"h": "hn", "buf": "buf_out"},
    ),
    "every step with every other": Doubtful(
        _file(Attends, ["y", "weights"], {"x": {0: "batch", 1: "time"}}, x=(3, 5, 4)),
        _X,
        {},
        outputs=("y",),
    ),
    "a state that changes nothing": Doubtful(
        _file(Unused, ["y", "state_out"], _rows("x", "state"), x=(3, 3), state=(3, 3)),
        frozenset({"x", "state"}),
        {},
    ),
    "a second state that changes nothing": Doubtful(
        lambda: cell([_KEPT], {"state2_out": ["N", 2]}, inputs={"state2": ["N", 2]}),
        frozenset({"x", "state2"}),
        {"h": "hn"},
    ),
    "a cache that grows": Doubtful(
        _file(Grows, ["y", "cache_out"], _rows("x", "cache"), x=(2, 1, 3), cache=(2, 4, 3)),
        frozenset({"x", "cache"}),
        {},
    ),
    "a state of another dtype": Doubtful(
        _file(Halved, _ENDS, _rows("x", "h"), x=(3, 4), h=(3, 4)), frozenset({"x", "h"}), {}
    ),
    "a size that follows values": Doubtful(
        lambda: cell([_NONZERO], {"z": [2, "K"]}, dtypes={"z": "int64"}),
        _X,
        {"h": "hn"},
        outputs=("y",),
    ),
    "rows that hear each other": Doubtful(
        _file(Coupled, ["y", "state_out"], _rows("x", "state"), x=(3, 3), state=(3, 3)),
        _X,
        {"state": "state_out"},
        flags=("--input", "x:float32:batch,3"),
    ),
    "a step that hears the next": Doubtful(
        lambda: with_axes("one convolved row", "time"), _X, {"h": "hn"}
    ),
    "steps that are centred": Doubtful(
        _file(Centred, _ENDS, {"x": {0: "time"}}, x=(5, 4), h=(4,)), _X, {"h": "hn"}
    ),
    "a denoiser": Doubtful(
        _file(
            Enhances,
            ["audio_out", "mem_out", "vad"],
            _rows("audio", "mem", "gain"),
            audio=(3, 8),
            mem=(3, 5),
            gain=(3, 8),
        ),
        frozenset({"audio", "gain"}),
        {"mem": "mem_out"},
    ),
    "no state at all": Doubtful(
        _file(Conditioned, ["x_out", "vad"], _rows("x", "cond"), x=(3, 8), cond=(3, 8)),
        frozenset({"x", "cond"}),
        {},
    ),
    "a recogniser": Doubtful(
        lambda: one_state("p", "q", answer="text", sent="audio"), frozenset({"audio"}), {"p": "q"}
    ),
}
