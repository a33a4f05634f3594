"""Packs the rows of a batch into the program's inputs and takes its outputs apart again."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from carousel.models.row import Array
from carousel.models.spec import BATCH, TIME, InputSpec, ModelSpec, OutputSpec, TensorSpec
from carousel.service.engine.block import Block
from carousel.service.engine.scheduler import Row


@dataclass(frozen=True, slots=True)
class Batch:
    """What one run is given: inputs by name in model layout, and the length of each row, (B,)."""

    inputs: dict[str, Array]
    lengths: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Axes:
    """The way between (B, T, rest...), less what a tensor lacks, and the tensor's own axes."""

    has_batch: bool
    has_time: bool
    to_model: tuple[int, ...]
    to_rows: tuple[int, ...]

    @classmethod
    def of(cls, tensor: TensorSpec) -> "_Axes":
        rows_order = [axis for axis in (BATCH, TIME) if axis in tensor.axes]
        rest = iter(range(len(rows_order), len(tensor.axes)))
        to_model = tuple(
            next(rest) if isinstance(axis, int) else rows_order.index(axis) for axis in tensor.axes
        )
        to_rows = tuple(int(place) for place in np.argsort(to_model))
        return cls(BATCH in tensor.axes, TIME in tensor.axes, to_model, to_rows)


class Packer:
    """Knows a spec's axes; `pack` builds the arrays of one run, `unpack` gives each row its
    piece.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._framed = spec.is_framed
        self._inputs = [(each, _Axes.of(each)) for each in spec.sent_inputs]
        self._outputs = [(each, _Axes.of(each)) for each in spec.outputs]
        self._constants = {
            each.name: np.full(each.row_shape, each.constant, each.dtype)
            for each in spec.inputs
            if each.constant is not None
        }

    def pack(self, rows: Sequence[Row]) -> Batch:
        """Inputs in model layout, padded with zeros to the longest row, and `lengths` (B,)."""
        lengths = np.fromiter((row.length for row in rows), np.int32, len(rows))  # (B,)
        inputs: dict[str, Array] = dict(self._constants)
        for spec, axes in self._inputs:
            inputs[spec.name] = self._pack_input(spec, axes, rows)
        return Batch(inputs, lengths)

    def unpack(self, rows: Sequence[Row], outputs: Sequence[Array]) -> list[dict[str, Array]]:
        """Each row's outputs by name: (T, O...) per step, (O...) per sequence."""
        pieces: list[dict[str, Array]] = [{} for _ in rows]
        for (spec, axes), output in zip(self._outputs, outputs, strict=True):
            for row, piece, value in zip(rows, pieces, _per_row(axes, output), strict=True):
                piece[spec.name] = self._cut(spec, value, row)
        return pieces

    def pack_block(self, block: Block, rows: slice, start: int, length: int) -> Batch:
        """The same for some rows of a block, whose arrays are stacked already."""
        inputs: dict[str, Array] = dict(self._constants)
        for spec, axes in self._inputs:
            value = block.inputs[spec.name][rows]  # (B, T, F...) or (B, F...)
            if axes.has_time:
                value = value[:, start : start + length]
            elif self._framed:
                value = value[:, start]  # (B, F...)
            inputs[spec.name] = np.asarray(value.transpose(axes.to_model), order="C")
        lengths = np.full(rows.stop - rows.start, length, np.int32)
        return Batch(inputs, lengths)

    def unpack_block(
        self, outputs: Sequence[Array], num_rows: int, length: int
    ) -> dict[str, Array]:
        """Outputs of a block's rows by name: (B, T, O...) per step, (B, O...) per sequence.

        Raises ValueError where they are not of so many rows and time steps.
        """
        found: dict[str, Array] = {}
        for (spec, axes), output in zip(self._outputs, outputs, strict=True):
            value = output.transpose(axes.to_rows)
            if self._framed:
                value = value[:, np.newaxis]
            shape: tuple[int, ...] = (num_rows,)
            if self._framed or spec.per == "step":
                shape += (1 if self._framed else spec.num_steps(length),)
            if value.shape[: len(shape)] != shape:
                raise ValueError(f"{spec.name}: {value.shape} came of a run of {shape}")
            found[spec.name] = value
        return found

    def _pack_input(self, spec: InputSpec, axes: _Axes, rows: Sequence[Row]) -> Array:
        if axes.has_time:
            stacked = _stack_time(spec, rows)  # (B, T, F...)
        elif self._framed:
            # Not `stack`, which takes longer for each row than for the copy.
            stacked = np.concatenate([_frame(row, spec.name) for row in rows])  # (B, F...)
        else:
            stacked = np.stack([row.request.inputs[spec.name] for row in rows])  # (B, F...)
        if not axes.has_batch:
            stacked = stacked[0]
        # Not ascontiguousarray, which makes (1,) of a single number.
        return np.asarray(stacked.transpose(axes.to_model), order="C")

    def _cut(self, spec: OutputSpec, value: Array, row: Row) -> Array:
        if self._framed:
            return value[np.newaxis]  # (1, O...)
        if spec.per == "step" and len(value) != spec.num_steps(row.length):
            return value[: spec.num_steps(row.length)]  # (T, O...), the padding left off
        return value


def join(
    spec: ModelSpec, pieces: Sequence[dict[str, Array]], time_axis: int = 0
) -> dict[str, Array]:
    """The outputs of a whole request from those of its chunks, in order."""
    joined: dict[str, Array] = {}
    for output in spec.outputs:
        if output.per == "step" or spec.is_framed:
            parts = [piece[output.name] for piece in pieces]
            joined[output.name] = np.concatenate(parts, time_axis)
        else:
            joined[output.name] = pieces[-1][output.name]
    return joined


def _frame(row: Row, name: str) -> Array:
    """The one frame that a row's run is about: (1, F...)."""
    frames = row.request.inputs[name]
    return frames if len(frames) == 1 else frames[row.start : row.start + 1]


def _stack_time(spec: InputSpec, rows: Sequence[Row]) -> Array:
    """(B, T, F...): each row's time steps, zeros behind the shorter ones."""
    cuts = [row.request.inputs[spec.name][row.start : row.start + row.length] for row in rows]
    longest = max(row.length for row in rows)
    if all(len(cut) == longest for cut in cuts):
        return np.concatenate(cuts).reshape(len(rows), longest, *spec.row_shape)
    stacked = np.zeros((len(rows), longest, *spec.row_shape), spec.dtype)
    for index, cut in enumerate(cuts):
        stacked[index, : len(cut)] = cut
    return stacked


def _per_row(axes: _Axes, output: Array) -> Array | list[Array]:
    """Iterates as one (T, O...) or (O...) per row."""
    rows = output.transpose(axes.to_rows)
    return rows if axes.has_batch else [rows]
