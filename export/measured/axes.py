"""The axes of an output, from its sizes in runs at several batch sizes and lengths."""

from collections.abc import Sequence
from dataclasses import dataclass

from carousel.export.measured.sampling import Axes
from carousel.models.spec import BATCH, TIME, Axis

_MOST_STRIDE = 64
_MOST_OFFSET = 64


@dataclass(frozen=True, slots=True)
class Fitted:
    """Axes that explain the sizes of a tensor.

    `fold`: how many rows of the batch axis belong to one session. `stride` and `offset`: of T time
    steps come (T + offset) // stride.
    """

    axes: Axes
    fold: int = 1
    stride: int = 1
    offset: int = 0


def fit_axes(
    shapes: Sequence[Sequence[int]], batches: Sequence[int], times: Sequence[int]
) -> Fitted | None:
    """The axes that explain the shapes; None where none do.

    `batches` and `times` are the sizes of the runs, 0 where the model has no such axis.
    """
    if len({len(shape) for shape in shapes}) > 1:
        return None
    axes: list[Axis] = []
    fold, stride, offset = 1, 1, 0
    for column in zip(*shapes, strict=True):
        sizes = list(column)
        if len(set(sizes)) == 1:
            axes.append(sizes[0])
        elif sizes == list(times):
            axes.append(TIME)
        elif all(batches) and sizes == [batch * (sizes[0] // batches[0]) for batch in batches]:
            axes.append(BATCH)
            fold = sizes[0] // batches[0]
        else:
            strided = _fit_stride(sizes, times)
            if strided is None:
                return None
            axes.append(TIME)
            stride, offset = strided
    if axes.count(BATCH) > 1 or axes.count(TIME) > 1:
        return None
    return Fitted(tuple(axes), fold, stride, offset)


def _fit_stride(sizes: Sequence[int], times: Sequence[int]) -> tuple[int, int] | None:
    """The offset next to 0, with the smallest stride above 1, that gives these sizes."""
    if not all(times) or len(set(times)) < 3:
        return None
    # Without an offset before with one: few lengths fit many of them.
    for offset in sorted(range(-_MOST_OFFSET, _MOST_OFFSET + 1), key=abs):
        for stride in range(2, _MOST_STRIDE + 1):
            made = [(time + offset) // stride for time in times]
            if made == list(sizes):
                return stride, offset
    return None
