"""Whether an input says how long each row of a padded batch is."""

import torch

from carousel.export.discovery.layout import Layout
from carousel.export.errors import ForwardFailed
from carousel.export.lifting.candidates import same
from carousel.export.measured.sampling import take_steps
from carousel.export.module.original import Original
from carousel.models.spec import BATCH

_ROWS = (7, 2, 5, 1, 7)  # their lengths


def ends_rows(original: Original, layout: Layout) -> bool:
    """Whether every row of a padded batch is answered as it is alone and without its padding, by
    the lengths that the layout names; what is answered to padding is of no matter.
    """
    sampler, name = layout.sampler, layout.sampler.lengths
    if name is None or not layout.batch:
        return False
    values = sampler.draw(len(_ROWS), max(_ROWS), 7)
    lengths = torch.tensor(_ROWS, dtype=values[name].dtype)
    try:
        found = original.run({**values, name: lengths}).outputs
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
    except ForwardFailed:  # what it says to such lengths
        return False
    return True
