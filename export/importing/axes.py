"""The axes of an output, from its sizes in runs at several batch sizes and lengths."""

from collections.abc import Sequence

from carousel.export.sampling import Axes
from carousel.models.spec import BATCH, TIME, Axis


def fit_axes(
    shapes: Sequence[Sequence[int]], batches: Sequence[int], times: Sequence[int]
) -> tuple[Axes, int] | None:
    """The axes that explain the shapes, and the fold of the batch axis; None where none do.

    `batches` and `times` are the sizes of the runs, 0 where the model has no such axis.
    """
    if len({len(shape) for shape in shapes}) > 1:
        return None
    axes: list[Axis] = []
    fold = 1
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
            return None
    if axes.count(BATCH) > 1 or axes.count(TIME) > 1:
        return None
    return tuple(axes), fold
