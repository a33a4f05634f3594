"""Guesses at which axes of a module's inputs are `batch` and `time`, the likeliest first."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from carousel.export.errors import InvalidRequest
from carousel.models.spec import BATCH, TIME, Axis

Axes = tuple[Axis, ...]

_MAX_STATES = 64  # ways to place the batch axes of states, for each guess
_MAX_GUESSES = 120  # per kind; each costs at least one run of the module


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Axes of every tensor that `forward` takes, and the example's size of each word.

    `batch` and `time` are 0 where no axis has the word; `pinned` names the axes that would have
    been `batch` and are held at one row.
    """

    axes: Mapping[str, Axes]
    folds: Mapping[str, int]
    batch: int
    time: int
    pinned: Mapping[str, int]

    def pin(self) -> "Hypothesis":
        """The same with one row instead of a batch axis."""
        pinned = {name: axes.index(BATCH) for name, axes in self.axes.items() if BATCH in axes}
        axes = {
            name: tuple(self.folds.get(name, 1) if axis == BATCH else axis for axis in each)
            for name, each in self.axes.items()
        }
        return replace(self, axes=axes, batch=0, pinned=pinned)


@dataclass(frozen=True, slots=True)
class Guesses:
    """Makes hypotheses from the example's tensors, what the caller said, and the layers' layout.

    `fixed` are those of the `states` that never change.
    """

    tensors: Mapping[str, torch.Tensor]
    states: Collection[str]
    fixed: Collection[str]
    stated: Mapping[str, Axes]
    batch_first: bool
    lengths: str | None

    def both(self) -> Iterator[Hypothesis]:
        """A batch axis in every tensor and a time axis in one at least."""
        for each in self._combine(batch=True, time=True):
            if each.time and each.batch:
                yield each

    def batch_only(self) -> Iterator[Hypothesis]:
        """A batch axis in every tensor and no time axis."""
        return (each for each in self._combine(batch=True, time=False) if each.batch)

    def time_only(self) -> Iterator[Hypothesis]:
        """A time axis and no batch axis."""
        return (each for each in self._combine(batch=False, time=True) if each.time)

    def static(self) -> Iterator[Hypothesis]:
        """Every size as in the example."""
        return self._combine(batch=False, time=False)

    def _combine(self, batch: bool, time: bool) -> Iterator[Hypothesis]:
        inputs = [name for name in self.tensors if name not in self.states]
        options = [list(self._options(name, batch, time)) for name in inputs]
        ranked = itertools.product(*(list(enumerate(each)) for each in options))
        first = itertools.islice(ranked, 4096)
        guesses = sorted(first, key=lambda guess: sum(rank for rank, _ in guess))
        tried = 0
        for guess in guesses:
            axes = {name: each for name, (_, each) in zip(inputs, guess, strict=True)}
            sizes = self._sizes(axes)
            if sizes is not None and tried < _MAX_GUESSES:
                tried += 1
                yield from self._with_states(axes, *sizes)

    def _options(self, name: str, batch: bool, time: bool) -> Iterator[Axes]:
        shape = tuple(self.tensors[name].shape)
        if name in self.stated:
            stated = self.stated[name]
            if (batch or BATCH not in stated) and (time or TIME not in stated):
                yield stated
            return
        if not shape:
            yield ()
            return
        if name == self.lengths:
            yield (BATCH,) if batch else shape
            return
        places = list(range(len(shape)))
        if len(places) > 1 and batch and not self.batch_first:
            places[:2] = [1, 0]
        if batch and time:
            for row, step in itertools.permutations(places, 2):
                yield _named(shape, row, step)
        if batch:
            for row in sorted(places):
                yield _named(shape, row, None)
        elif time:
            for step in places:
                yield _named(shape, None, step)
        if not batch:
            yield shape

    def _sizes(self, axes: Mapping[str, Axes]) -> tuple[int, int] | None:
        """The example's batch and time sizes under `axes`; None where tensors disagree."""
        found: dict[str, set[int]] = {BATCH: set(), TIME: set()}
        for name, each in axes.items():
            for size, axis in zip(self.tensors[name].shape, each, strict=True):
                if not isinstance(axis, int):
                    found[axis].add(size)
        if len(found[BATCH]) > 1 or len(found[TIME]) > 1:
            return None
        return next(iter(found[BATCH]), 0), next(iter(found[TIME]), 0)

    def _with_states(self, axes: dict[str, Axes], batch: int, time: int) -> Iterator[Hypothesis]:
        """The guess with a batch axis for the states among the arguments: axis 1 first, as torch
        has it. What never changes often comes from elsewhere, and has its axis where inputs do.
        """
        shapes = {name: tuple(self.tensors[name].shape) for name in self.states}
        unsaid = {name: shape for name, shape in shapes.items() if name not in self.stated}
        said = {name: self.stated[name] for name in shapes if name in self.stated}
        if not unsaid or not batch:
            yield Hypothesis({**axes, **unsaid, **said}, {}, batch, time, {})
            return
        for rows in self._rows(unsaid, batch):
            folds = {name: unsaid[name][row] // batch for name, row in rows.items()}
            named = {name: _named(unsaid[name], row, None) for name, row in rows.items()}
            yield Hypothesis({**axes, **named, **said}, folds, batch, time, {})

    def _rows(self, shapes: Mapping[str, tuple[int, ...]], batch: int) -> Iterator[dict[str, int]]:
        """Where states may have their batch axis: all at one place (those that never change at
        another) before each at its own.
        """
        tried: list[dict[str, int]] = []
        for place, other in itertools.product((1, 0, 2, 3), (0, 1, 2) if self.fixed else (0,)):
            rows = {
                name: min(other if name in self.fixed else place, len(shape) - 1)
                for name, shape in shapes.items()
            }
            if all(shapes[name][row] % batch == 0 for name, row in rows.items()):
                tried.append(rows)
                yield rows
        own = [
            [place for place in (1, 0, 2, 3) if place < len(shape) and shape[place] % batch == 0]
            for shape in shapes.values()
        ]
        for places in itertools.islice(itertools.product(*own), _MAX_STATES):
            rows = dict(zip(shapes, places, strict=True))
            if rows not in tried:
                yield rows


def _named(shape: Sequence[int], row: int | None, step: int | None) -> Axes:
    axes: list[Axis] = list(shape)
    if row is not None:
        axes[row] = BATCH
    if step is not None:
        axes[step] = TIME
    return tuple(axes)


def check_axes(name: str, axes: Axes, example: torch.Tensor, is_state: bool) -> None:
    """Raise InvalidRequest for axes that the example does not have."""
    if len(axes) != example.dim():
        raise InvalidRequest(f"axes: {name} has {example.dim()} axes, not {len(axes)}")
    if is_state and TIME in axes:
        raise InvalidRequest(f"axes: {name} is a state, and a state has no {TIME!r}")
    for axis, long in zip(axes, example.shape, strict=True):
        if isinstance(axis, int) and axis != long:
            raise InvalidRequest(f"axes: {name} is {long} long where {axis} is stated")
