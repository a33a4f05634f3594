"""Inputs of other sizes, drawn from the example's own values; rows and time steps of tensors."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from carousel.models.spec import BATCH, TIME, Axis

Axes = tuple[Axis, ...]
Span = tuple[int, int]  # the lowest and the highest value, both ends included

_FEW = 4  # with fewer different frames than this the values are drawn one by one


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws every tensor of `example` at other sizes of its `axes`.

    `folds` holds how many rows of a state belong to one session. `lengths` names the input that is
    filled with the number of time steps, `counts` those that are lengths of rows as far as the
    example tells: never above the time steps. `spans` holds the values to draw between for inputs
    whose example has one value only.
    """

    example: Mapping[str, torch.Tensor]
    axes: Mapping[str, Axes]
    folds: Mapping[str, int] = field(default_factory=dict)
    lengths: str | None = None
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    counts: Collection[str] = ()
    _are_few: dict[str, bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def draw(self, batch: int, time: int, seed: int) -> dict[str, torch.Tensor]:
        """Every tensor at `batch` rows and `time` steps.

        Whole frames (what stands at one row and one time step) are drawn with replacement, so that
        one-hot vectors stay one-hot and token ids stay token ids. Where the example has too few
        different frames single values are drawn; where it holds one value only, floats are normal
        random numbers.
        """
        generator = torch.Generator().manual_seed(seed)
        found: dict[str, torch.Tensor] = {}
        for name, tensor in self.example.items():
            if name == self.lengths:
                found[name] = torch.full((max(batch, 1),), time, dtype=tensor.dtype)
                continue
            sizes = {BATCH: batch * self.folds.get(name, 1), TIME: time}
            if name in self.counts:
                shape = [sizes[axis] if isinstance(axis, str) else axis for axis in self.axes[name]]
                found[name] = draw_span((1, max(time, 1)), shape, tensor.dtype, generator)
                found[name].view(-1)[:1] = time
                continue
            if name in self.spans:
                shape = [sizes[axis] if isinstance(axis, str) else axis for axis in self.axes[name]]
                found[name] = draw_span(self.spans[name], shape, tensor.dtype, generator)
                continue
            lead = [sizes[axis] for axis in self.axes[name] if not isinstance(axis, int)]
            found[name] = self._drawn(name, tensor.detach(), lead, generator)
        return found

    def _drawn(
        self, name: str, tensor: torch.Tensor, lead: list[int], generator: torch.Generator
    ) -> torch.Tensor:
        axes = self.axes[name]
        if tensor.numel() == 0:
            sizes = iter(lead)
            return tensor.new_zeros(
                [each if isinstance(each, int) else next(sizes) for each in axes]
            )
        varying = [index for index, axis in enumerate(axes) if not isinstance(axis, int)]
        if not varying:
            # A sample that equals the example proves nothing. One number for all is a setting.
            return (
                _values(tensor, tuple(tensor.shape), generator) if tensor.dim() else tensor.clone()
            )
        front = list(range(len(varying)))
        frames = tensor.movedim(varying, front).flatten(0, len(varying) - 1)  # (N, F...)
        count = math.prod(lead)
        if name not in self._are_few:
            self._are_few[name] = len(torch.unique(frames, dim=0)) < _FEW
        if self._are_few[name]:
            drawn = _values(tensor, (count, *frames.shape[1:]), generator)
        else:
            drawn = frames[torch.randint(len(frames), (count,), generator=generator)]
        return drawn.reshape(*lead, *frames.shape[1:]).movedim(front, varying).contiguous()

    def rows(
        self, values: Mapping[str, torch.Tensor], index: Sequence[int]
    ) -> dict[str, torch.Tensor]:
        """The rows `index` of every tensor."""
        return {
            name: take_rows(each, self.axes[name], index, self.folds.get(name, 1))
            for name, each in values.items()
        }


def can_hold(dtype: torch.dtype, number: float) -> bool:
    """Whether a tensor of this dtype may have the number among its values."""
    if dtype == torch.bool:
        return number in (0, 1)
    if dtype.is_floating_point:
        return math.isnan(number) or abs(number) <= torch.finfo(dtype).max
    info = torch.iinfo(dtype)
    return number.is_integer() and info.min <= number <= info.max


def noise_like(
    example: torch.Tensor, generator: torch.Generator, scale: float = 0.5
) -> torch.Tensor:
    """Random floats of the kind that an example has: positive where all of it is (a variance)."""
    if example.numel() and bool((example > 0).all()):
        return (example * (0.5 + torch.rand(example.shape, generator=generator))).to(example.dtype)
    return (scale * torch.randn(example.shape, generator=generator)).to(example.dtype)


def draw_span(
    span: Span,
    shape: Sequence[int],
    dtype: torch.dtype,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Values between the ends of `span`."""
    return torch.randint(span[0], span[1] + 1, list(shape), generator=generator).to(dtype)


def take_rows(
    tensor: torch.Tensor, axes: Axes, index: Sequence[int], fold: int = 1
) -> torch.Tensor:
    """The rows `index`, each of them `fold` long, of a tensor; all of it without a batch axis."""
    if BATCH not in axes:
        return tensor
    picked = torch.tensor([row * fold + part for row in index for part in range(fold)])
    return tensor.index_select(axes.index(BATCH), picked)


def take_steps(tensor: torch.Tensor, axes: Axes, start: int, end: int) -> torch.Tensor:
    """The time steps from `start` to before `end`; all of it without a time axis."""
    if TIME not in axes:
        return tensor
    return tensor.narrow(axes.index(TIME), start, end - start)


def _values(
    tensor: torch.Tensor, shape: tuple[int, ...], generator: torch.Generator
) -> torch.Tensor:
    own = tensor.flatten()
    if tensor.is_floating_point() and bool((own == 1).all()):
        return draw_span((0, 1), shape, tensor.dtype, generator)  # a mask, as a rule
    if tensor.is_floating_point() and bool((own == own[0]).all()):
        return torch.randn(shape, generator=generator).to(tensor.dtype)
    return own[torch.randint(len(own), (math.prod(shape),), generator=generator)].reshape(shape)
