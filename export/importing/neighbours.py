"""Three rows of a batch, and the neighbours that the middle one is given: strangers of its own
kind, loud ones and silent ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from carousel.export.importing.draws import Draws
from carousel.export.programs import Tensors
from carousel.export.sampling import take_rows
from carousel.models.spec import BATCH, ModelSpec, StateSpec, TensorSpec

ROWS = 3
_LOUD = 100  # how many times as large as the others


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What every row is given."""

    inputs: Tensors
    states: Tensors

    @staticmethod
    def draw(spec: ModelSpec, draws: Draws, time: int, seed: int, rows: int = ROWS) -> "Neighbours":
        """Rows of the kind that the model takes."""
        return Neighbours(draws.inputs(spec, rows, time, seed), draws.states(spec, rows, seed + 1))

    def unusual(self, spec: ModelSpec, draws: Draws, rows: int = ROWS) -> Iterator["Neighbours"]:
        """The same many times as loud, and silence where sessions start."""
        loud = [
            {name: each if name in draws.spans else _loud(each) for name, each in kind.items()}
            for kind in (self.inputs, self.states)
        ]
        yield Neighbours(*loud)
        silent = {
            name: torch.zeros_like(each).clamp(*draws.spans[name])
            if name in draws.spans
            else torch.zeros_like(each)
            for name, each in self.inputs.items()
        }
        start = {each.name: draws.start(each, each.fold, rows) for each in spec.states}
        yield Neighbours(silent, start)

    def alone(self, spec: ModelSpec) -> "Neighbours":
        """The middle row without neighbours."""
        return Neighbours(
            take_row(spec.inputs, self.inputs, 1), take_row(spec.states, self.states, 1)
        )

    def among(self, spec: ModelSpec, others: "Neighbours") -> "Neighbours":
        """The middle row between the outer ones of `others`."""
        return Neighbours(
            {each.name: _between(each, self.inputs, others.inputs) for each in spec.inputs},
            {each.name: _between(each, self.states, others.states) for each in spec.states},
        )


def take_row(kind: Sequence[TensorSpec], values: Tensors, row: int) -> Tensors:
    """One row of tensors by name."""
    return {
        each.name: take_rows(values[each.name], each.axes, (row,), _fold(each)) for each in kind
    }


def _loud(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype == torch.bool:
        return tensor
    if tensor.is_floating_point():
        return tensor * _LOUD
    info = torch.iinfo(tensor.dtype)
    return (tensor.long() * _LOUD).clamp(info.min, info.max).to(tensor.dtype)


def _between(spec: TensorSpec, mine: Tensors, theirs: Tensors) -> torch.Tensor:
    if BATCH not in spec.axes:
        return mine[spec.name]
    rows = [
        take_rows(each[spec.name], spec.axes, (row,), _fold(spec))
        for each, row in ((theirs, 0), (mine, 1), (theirs, 2))
    ]
    return torch.cat(rows, spec.axes.index(BATCH))


def _fold(spec: TensorSpec) -> int:
    return spec.fold if isinstance(spec, StateSpec) else 1
