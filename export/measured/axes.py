"""The axes of an output, from its sizes in runs at several batch sizes and lengths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from carousel.export.measured.sampling import Axes
from carousel.models.spec import BATCH, TIME, Axis

_MOST_STRIDE = 4096

ShapeAt = Callable[[int], Sequence[int] | None]


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

    @property
    def interval(self) -> int | None:
        """The stride as a spec has it: None where there is an output for every step."""
        return self.stride if self.offset or self.stride > 1 else None


def fit_axes(
    shapes: Sequence[Sequence[int]],
    batches: Sequence[int],
    times: Sequence[int],
    shape_at: ShapeAt | None = None,
) -> Fitted | None:
    """The axes that explain the shapes; None where none do.

    `batches` and `times` are the sizes of the runs, 0 where the model has no such axis. `shape_at`
    gives the shape at another length, None where the model does not take it: an axis that grows
    with time and is not as long is measured by it.
    """
    if len({len(shape) for shape in shapes}) > 1:
        return None
    axes: list[Axis] = []
    fold, stride, offset = 1, 1, 0
    for index, column in enumerate(zip(*shapes, strict=True)):
        sizes = list(column)
        if len(set(sizes)) == 1:
            axes.append(sizes[0])
        elif sizes == list(times):
            axes.append(TIME)
        elif all(batches) and sizes == [batch * (sizes[0] // batches[0]) for batch in batches]:
            axes.append(BATCH)
            fold = sizes[0] // batches[0]
        else:
            strided = _stride(sizes, times, index, shape_at)
            if strided is None:
                return None
            axes.append(TIME)
            stride, offset = strided
    if axes.count(BATCH) > 1 or axes.count(TIME) > 1:
        return None
    return Fitted(tuple(axes), fold, stride, offset)


def _stride(
    sizes: Sequence[int], times: Sequence[int], index: int, shape_at: ShapeAt | None
) -> tuple[int, int] | None:
    """Stride and offset, from the lengths at which the axis `index` grows by one.

    A few lengths fit many strides: only the edges tell.
    """
    if shape_at is None or not all(times):
        return None

    def count(time: int) -> int | None:
        shape = shape_at(time)
        return None if shape is None or len(shape) <= index else shape[index]

    start = times[0]
    edge = _next_edge(count, start, sizes[0])
    later = None if edge is None else _next_edge(count, edge, sizes[0] + 1)
    if edge is None or later is None:
        return None
    stride, offset = later - edge, (later - edge) * (sizes[0] + 1) - edge
    fits = [(time + offset) // stride for time in times] == list(sizes)
    return (stride, offset) if fits and count(later) == sizes[0] + 2 else None


def _next_edge(count: Callable[[int], int | None], low: int, size: int) -> int | None:
    """The least length above `low` that gives more than `size`, which must be one more."""
    step = 1
    while step <= _MOST_STRIDE:
        found = count(low + step)
        if found is None:
            return None
        if found > size:
            break
        low, step = low + step, 2 * step
    else:
        return None
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        found = count(middle)
        if found is None:
            return None
        low, high = (low, middle) if found > size else (middle, high)
    return high if count(high) == size + 1 else None
