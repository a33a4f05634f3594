"""Random values for the inputs and states of a foreign model, of which nothing is known but dtypes.

What a model takes is found by trying: a state may be nothing but positive (a running variance), an
integer may be a sample of sound or a flag. The widest setting at which it runs is kept.
"""

import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch

from carousel.export.errors import InvalidRequest
from carousel.export.measured.sampling import Axes, draw_span
from carousel.export.programs.runtime import Tensors
from carousel.models.spec import BATCH, TIME, Dtype, ModelSpec, TensorSpec

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Setting:
    """Which integers are drawn for inputs without a range, and what states are drawn from."""

    integers: Span
    states: Literal["any", "positive", "start"]


SETTINGS = tuple(
    Setting(integers, states)
    for states in ("any", "positive", "start")
    for integers in ((-100, 100), (0, 1))
)


@dataclass(slots=True)
class Draws:
    """Draws tensors by name; `kept` are those that states are, `spans` the ids that inputs take,
    `counting` those that say how many of the time steps count: all, as far as their span goes.
    """

    spans: Mapping[str, Span]
    initial: Tensors
    kept: Collection[str] = ()
    setting: Setting = field(default=SETTINGS[0])
    counting: Collection[str] = ()

    def tensor(
        self, name: str, dtype: Dtype, axes: Axes, sizes: Mapping[str, int], seed: int
    ) -> torch.Tensor:
        """One tensor whose `batch` and `time` are as long as `sizes` says."""
        generator = torch.Generator().manual_seed(seed + zlib.crc32(name.encode()))
        shape = [axis if isinstance(axis, int) else sizes[axis] for axis in axes]
        kind: torch.dtype = getattr(torch, dtype)
        if name in self.kept:
            return self._state(name, kind, axes, shape, generator)
        if kind.is_floating_point:
            return torch.randn(shape, generator=generator).to(kind)
        if kind == torch.bool:
            return draw_span((0, 1), shape, kind, generator)
        if name in self.counting:
            return torch.full(shape, max(sizes[TIME], 1), dtype=kind)
        low, high = self.spans.get(name, self.setting.integers)
        info = torch.iinfo(kind)
        return draw_span((max(low, info.min), min(high, info.max)), shape, kind, generator)

    def inputs(self, spec: ModelSpec, batch: int, time: int, seed: int) -> Tensors:
        """Every input of one run, in wire sizes: without the context that stands in front."""
        sizes = {BATCH: batch, TIME: time}
        return {
            each.name: self.tensor(each.name, each.dtype, each.axes, sizes, seed)
            if each.constant is None
            else torch.full(each.row_shape, each.constant, dtype=getattr(torch, each.dtype))
            for each in spec.inputs
        }

    def states(self, spec: ModelSpec, batch: int, seed: int) -> Tensors:
        """Every state of one run, contexts included, anywhere that a state may be."""
        found: Tensors = {}
        for each in spec.states:
            sizes = {BATCH: batch * each.fold, TIME: 0}
            found[each.name] = self.tensor(each.name, each.dtype, each.axes, sizes, seed)
        return found

    def start(self, state: TensorSpec, fold: int, batch: int) -> torch.Tensor:
        """Where `batch` sessions start, in model layout."""
        shape = state.model_shape(max(batch, 1) * fold, 0)
        kind: torch.dtype = getattr(torch, state.dtype)
        return self._start(state.name, kind, state.axes, list(shape), fold)

    def _state(
        self,
        name: str,
        kind: torch.dtype,
        axes: Axes,
        shape: list[int],
        generator: torch.Generator,
    ) -> torch.Tensor:
        start = self._start(name, kind, axes, shape)
        if self.setting.states == "start" or kind == torch.bool:
            return start
        if not kind.is_floating_point:
            return start + draw_span((0, 2), shape, kind, generator)
        noise = 0.3 * torch.randn(shape, generator=generator)
        return start + (noise.abs() if self.setting.states == "positive" else noise).to(kind)

    def _start(
        self, name: str, kind: torch.dtype, axes: Axes, shape: list[int], fold: int | None = None
    ) -> torch.Tensor:
        """Zeros, or the first value of one session again and again along the batch axis; `fold` is
        how long that is for one session, where it is known.
        """
        first = self.initial.get(name)
        if first is None:
            return torch.zeros(shape, dtype=kind)
        if first.dtype != kind:
            raise InvalidRequest(f"--initial: {name} is {first.dtype}, and the state {kind}")
        given = tuple(first.shape)
        if BATCH in axes and first.dim() < len(axes):
            first = first.unsqueeze(axes.index(BATCH))
        wanted = [
            _rows_of_one(own, size, fold) if axis == BATCH else size
            for axis, size, own in zip(axes, shape, first.shape, strict=False)
        ]
        if first.dim() != len(axes) or list(first.shape) != wanted:
            raise InvalidRequest(
                f"--initial: {name} is {given}, which one session's part of its axes {axes} is not"
            )
        repeats = [size // own if own else 1 for size, own in zip(shape, wanted, strict=True)]
        return first.repeat(repeats)


def _rows_of_one(own: int, size: int, fold: int | None) -> int:
    """How many rows of the batch axis a session has: `own`, where nothing is said against it."""
    if fold is not None:
        return fold
    return own if own and size % own == 0 else size
