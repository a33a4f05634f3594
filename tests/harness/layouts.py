"""One small model for each layout that people's models have (models/spec.py)."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from carousel.models.spec import InputSpec, ModelSpec, OutputSpec, StateSpec
from tests.harness.programs import Case


class _Lstm(nn.Module):
    """Two layers, time first, states with batch axis 1."""

    def __init__(self, num_inputs: int = 3, hidden_size: int = 4) -> None:
        super().__init__()
        self.lstm = nn.LSTM(num_inputs, hidden_size, 2)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        y, (h, c) = self.lstm(x, (h, c))
        return y, h, c


class _Sums(nn.Module):
    """A cache with batch axis 0; the output belongs to the last time step."""

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        s = s + x.sum(1)
        return s * 2, s


class _Frames(nn.Module):
    """No time axis; a cache with batch axis 3, one with three rows a session, and two inputs."""

    def forward(self, x: Tensor, gain: Tensor, cache: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
        batch = x.size(0)
        cache = cache * 0.5 + x.t().reshape(1, 2, 1, batch)  # (1, 2, 3, B)
        folded = rows.reshape(1, batch, 3, 4)
        folded = folded * 0.5 + torch.cumsum(folded, 2) * 0.1 + x[:, 0].reshape(1, batch, 1, 1)
        y = (cache.sum(2)[0].t() + folded.sum((0, 2, 3)).unsqueeze(1)) * gain  # (B, 2)
        return y, cache, folded.reshape(1, batch * 3, 4)


class _Alone(nn.Module):
    """No batch axis anywhere; one frame a call, non-zero initial values."""

    def forward(self, x: Tensor, s: Tensor) -> tuple[Tensor, ...]:
        s = s * 0.5 + x
        return s.cumsum(0), s


class _Mixed(nn.Module):
    """Token ids in; states of three dtypes, one of them a single number a session."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)

    def forward(self, ids: Tensor, half: Tensor, seen: Tensor, h: Tensor) -> tuple[Tensor, ...]:
        x = self.table(ids)  # (B, T, 3)
        y = h.unsqueeze(1) + x.cumsum(1)  # (B, T, 3)
        half = (half.float() + x.sum(1) * 0.01).half()
        count = seen.unsqueeze(1) + torch.ones_like(ids).cumsum(1)  # (B, T)
        return y, count, half, count[:, -1], y[:, -1]


class _Decoder(nn.Module):
    """A state that never changes, an input without a time axis, a constant; time not in front."""

    def forward(
        self, x: Tensor, speaker: Tensor, rate: Tensor, memory: Tensor, h: Tensor
    ) -> tuple[Tensor, ...]:
        y = h.unsqueeze(2) + x.cumsum(2) + speaker.unsqueeze(2)  # (B, 3, T)
        return y * memory.unsqueeze(2) + rate, h + x.sum(2) + speaker * 0


class _Shift(nn.Module):
    """Moves a cache on by one; the output is the cache."""

    def forward(self, x: Tensor, m: Tensor) -> tuple[Tensor, ...]:
        m = torch.cat([m[:, 1:], x.sum(1, keepdim=True)], 1)
        return m * 1, m


class _Delay(nn.Module):
    """Gives back its own states: one as the output, one as another's new value."""

    def forward(self, x: Tensor, last: Tensor, before: Tensor) -> tuple[Tensor, ...]:
        return before, x, last


class _Still(nn.Module):
    """Neither state nor time axis: each request is one item."""

    def forward(self, query: Tensor, key: Tensor) -> tuple[Tensor, ...]:
        return (torch.softmax(query * key, -1) @ torch.ones(4, 2),)


def lstm(num_inputs: int = 3, hidden_size: int = 4, *, ragged: bool = True) -> Case:
    """An LSTM with two layers whose ONNX program takes rows of mixed lengths."""
    torch.manual_seed(7)
    states = tuple(
        StateSpec(name=name, dtype="float32", axes=(2, "batch", hidden_size), output=f"{name}_out")
        for name in ("h", "c")
    )
    spec = ModelSpec(
        inputs=(InputSpec(name="x", dtype="float32", axes=("time", "batch", num_inputs)),),
        outputs=(
            OutputSpec(name="y", dtype="float32", axes=("time", "batch", hidden_size), per="step"),
        ),
        states=states,
        streaming="step",
    )
    return Case(_Lstm(num_inputs, hidden_size).eval(), spec, ragged=ragged)


def _sums() -> Case:
    spec = ModelSpec(
        inputs=(InputSpec(name="x", dtype="float32", axes=("batch", "time", 3)),),
        outputs=(OutputSpec(name="y", dtype="float32", axes=("batch", 3), per="sequence"),),
        states=(StateSpec(name="s", dtype="float32", axes=("batch", 3), output="s_out"),),
        streaming="last",
    )
    return Case(_Sums(), spec)


def _frames() -> Case:
    cache = StateSpec(name="cache", dtype="float32", axes=(1, 2, 3, "batch"), output="cache_out")
    rows = StateSpec(name="rows", dtype="float32", axes=(1, "batch", 4), output="rows_out", fold=3)
    spec = ModelSpec(
        inputs=(
            InputSpec(name="x", dtype="float32", axes=("batch", 2)),
            InputSpec(name="gain", dtype="float32", axes=("batch", 1)),
        ),
        outputs=(OutputSpec(name="y", dtype="float32", axes=("batch", 2), per="step"),),
        states=(cache, rows),
        streaming="step",
    )
    return Case(_Frames(), spec)


def _alone() -> Case:
    spec = ModelSpec(
        inputs=(InputSpec(name="x", dtype="float32", axes=(5,)),),
        outputs=(OutputSpec(name="y", dtype="float32", axes=(5,), per="step"),),
        states=(StateSpec(name="s", dtype="float32", axes=(5,), output="s_out", has_initial=True),),
        streaming="step",
    )
    return Case(_Alone(), spec, initial={"s": np.arange(5, dtype=np.float32)})


def _mixed() -> Case:
    torch.manual_seed(3)
    spec = ModelSpec(
        inputs=(InputSpec(name="ids", dtype="int64", axes=("batch", "time"), low=0, high=4),),
        outputs=(
            OutputSpec(name="y", dtype="float32", axes=("batch", "time", 3), per="step"),
            OutputSpec(name="count", dtype="int64", axes=("batch", "time"), per="step"),
        ),
        states=(
            StateSpec(name="half", dtype="float16", axes=("batch", 3), output="half_out"),
            StateSpec(name="seen", dtype="int64", axes=("batch",), output="seen_out"),
            StateSpec(name="h", dtype="float32", axes=("batch", 3), output="h_out"),
        ),
        streaming="step",
    )
    return Case(_Mixed().eval(), spec)


def _decoder() -> Case:
    spec = ModelSpec(
        inputs=(
            InputSpec(name="x", dtype="float32", axes=("batch", 3, "time")),
            InputSpec(name="speaker", dtype="float32", axes=("batch", 3)),
            InputSpec(name="rate", dtype="float32", axes=(), constant=2.5),
        ),
        outputs=(OutputSpec(name="y", dtype="float32", axes=("batch", 3, "time"), per="step"),),
        states=(
            StateSpec(name="memory", dtype="float32", axes=("batch", 3), output=None, fixed=True),
            StateSpec(name="h", dtype="float32", axes=("batch", 3), output="h_out"),
        ),
        streaming="step",
    )
    return Case(_Decoder(), spec)


def _delay() -> Case:
    spec = ModelSpec(
        inputs=(InputSpec(name="x", dtype="float32", axes=("batch", 4)),),
        outputs=(OutputSpec(name="y", dtype="float32", axes=("batch", 4), per="step"),),
        states=(
            StateSpec(name="last", dtype="float32", axes=("batch", 4), output="last_out"),
            StateSpec(name="before", dtype="float32", axes=("batch", 4), output="before_out"),
        ),
        streaming="step",
    )
    return Case(_Delay(), spec)


def _still() -> Case:
    spec = ModelSpec(
        inputs=tuple(
            InputSpec(name=name, dtype="float32", axes=("batch", 1, 4)) for name in ("query", "key")
        ),
        outputs=(OutputSpec(name="y", dtype="float32", axes=("batch", 1, 2), per="sequence"),),
    )
    return Case(_Still(), spec)


def minus_infinity() -> Case:
    """A cache of the last four sums that is filled with -inf before there are any."""
    spec = ModelSpec(
        inputs=(InputSpec(name="x", dtype="float32", axes=("batch", 2)),),
        outputs=(OutputSpec(name="y", dtype="float32", axes=("batch", 4), per="step"),),
        states=(
            StateSpec(
                name="m",
                dtype="float32",
                axes=("batch", 4),
                output="m_out",
                has_initial=True,
                finite=False,
            ),
        ),
        streaming="step",
    )
    return Case(_Shift(), spec, initial={"m": np.full(4, -np.inf, np.float32)})


LAYOUTS: dict[str, Callable[[], Case]] = {
    "time first, ragged": lstm,
    "batch axis 0, last": _sums,
    "frames, batch axis 3, fold": _frames,
    "no batch axis, initial": _alone,
    "tokens, three dtypes": _mixed,
    "fixed, constant, whole": _decoder,
    "states handed through": _delay,
    "no state, no time": _still,
}
