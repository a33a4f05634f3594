"""Whether an input says how long each row of a padded batch is."""

from collections.abc import Mapping

import torch
from torch import Tensor

from carousel.export.discovery.layout import Layout
from carousel.export.errors import ForwardFailed
from carousel.export.lifting.candidates import same
from carousel.export.measured.sampling import take_steps
from carousel.export.module.original import Original
from carousel.models.spec import BATCH, TIME

_ROWS = (7, 2, 5, 1, 7)  # their lengths


def ends_rows(original: Original, layout: Layout) -> bool:
    """Whether every row of a padded batch is answered as it is alone and without its padding, by
    the lengths that the layout names. What is answered to padding stays the same from step to step,
    whatever stands there: a number of steps after which something else begins is no length.
    """
    sampler, name = layout.sampler, layout.sampler.lengths
    if name is None or not layout.batch:
        return False
    values = sampler.draw(len(_ROWS), max(_ROWS), 7)
    lengths = torch.tensor(_ROWS, dtype=values[name].dtype)
    others = _otherwise_padded(layout, values)
    try:
        found = original.run({**values, name: lengths}).outputs
        again = original.run({**others, name: lengths}).outputs
        if not all(same(found[key], again[key]) for key in layout.outputs):
            return False
        for row, steps in enumerate(_ROWS):
            own = {
                key: take_steps(each, sampler.axes[key], 0, steps)
                for key, each in sampler.rows(values, [row]).items()
            }
            alone = original.run({**own, name: lengths[row : row + 1]}).outputs
            for key, fitted in layout.outputs.items():
                mine = found[key].narrow(fitted.axes.index(BATCH), row, 1)
                if not same(take_steps(mine, fitted.axes, 0, steps), alone[key]):
                    return False
                if TIME in fitted.axes and not _stays(mine, fitted.axes.index(TIME), steps):
                    return False
    except ForwardFailed:  # what it says to such lengths
        return False
    return True


def _otherwise_padded(layout: Layout, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same rows with something else beyond their ends."""
    others, axes = layout.sampler.draw(len(_ROWS), max(_ROWS), 8), layout.sampler.axes
    found = dict(values)
    for name, each in values.items():
        if TIME in axes[name] and BATCH in axes[name]:
            rows, steps = axes[name].index(BATCH), axes[name].index(TIME)
            sizes = [1] * each.dim()
            sizes[rows], sizes[steps] = each.shape[rows], each.shape[steps]
            valid = torch.arange(max(_ROWS)) < torch.tensor(_ROWS).unsqueeze(1)
            valid = (valid if rows < steps else valid.T).reshape(sizes)
            found[name] = torch.where(valid, each, others[name])
    return found


def _stays(output: Tensor, axis: int, start: int) -> bool:
    """Whether an output is the same at all steps from `start`."""
    left = output.shape[axis] - start
    if left < 2:
        return True
    padding = output.narrow(axis, start, left)
    return same(padding, padding.narrow(axis, 0, 1).expand_as(padding))
