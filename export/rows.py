"""Row isolation: a row must be the same among other neighbours, and alone."""

from collections.abc import Mapping

import torch

from carousel.export.compare import difference
from carousel.export.original import Original
from carousel.export.sampling import Axes, Sampler, take_rows
from carousel.models.spec import BATCH


def coupled_rows(
    original: Original,
    sampler: Sampler,
    outputs: Mapping[str, Axes],
    folds: Mapping[str, int],
    time: int,
) -> str | None:
    """What shows that rows are not independent; None if nothing does.

    "It ran at a larger size" proves nothing: row 1 is compared among two sets of neighbours, and
    with itself alone. Raises what the module raises where it does not take such rows.
    """
    values, others = (sampler.draw(3, time, seed=seed) for seed in (11, 12))
    whole = original.run(values).outputs
    mixed = original.run(_among_others(sampler, values, others)).outputs
    alone = original.run(sampler.rows(values, (1,))).outputs
    for run, row in ((mixed, 1), (alone, 0)):
        for name, axes in outputs.items():
            if run[name].dim() != len(axes):
                return f"the output {name} loses its batch axis at one row"
            expected = take_rows(whole[name], axes, (1,), folds[name])
            if not difference(expected, take_rows(run[name], axes, (row,), folds[name])).passes:
                return f"a row of {name} depends on the rows beside it"
    return None


def _among_others(
    sampler: Sampler, values: dict[str, torch.Tensor], others: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Row 1 of `values` between rows 0 and 2 of `others`."""
    both = {
        name: torch.cat((each, others[name]), sampler.axes[name].index(BATCH))
        if BATCH in sampler.axes[name]
        else each
        for name, each in values.items()
    }
    return sampler.rows(both, (3, 1, 5))
