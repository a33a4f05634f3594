"""Measures what a run of a model costs, by its rows."""

import time
from collections.abc import Callable

import numpy as np

from carousel.models.artifact import Artifact
from carousel.models.row import RowLayout
from carousel.service.backends.base import Backend
from carousel.service.engine.cost_curve import CostCurve, CostPoint
from carousel.service.engine.golden import repeat_golden
from carousel.service.engine.run_memory import RunMemory

# Of one model. What takes longer is left out: the largest runs.
_BUDGET_S = 0.5
_MOST_SWEEPS = 15


def measure_cost(
    artifact: Artifact,
    backend: Backend,
    layout: RowLayout,
    *,
    max_rows: int,
    memory: RunMemory,
    clock: Callable[[], float] = time.perf_counter,
) -> CostCurve:
    """Run the golden example's first row once, and many times over, a power of two of them in a
    run, up to `max_rows`; and all of it again, until half a second has passed.
    """
    spec = artifact.manifest.spec
    # What counts the example's time steps would be wrong of one.
    counts = any(each.counts_steps for each in spec.inputs)
    single_steps = spec.streaming != "none" and not counts
    end = clock() + _BUDGET_S
    least: dict[int, float] = {}
    for sweep in range(_MOST_SWEEPS):
        num_rows = 1
        while num_rows <= max_rows:
            inputs, row, num_steps = repeat_golden(
                artifact, layout, num_rows, single_steps=single_steps
            )
            expected_s = least.get(num_rows, 2 * least.get(num_rows // 2, 0.0)) * num_steps
            if least and (clock() + expected_s >= end or not memory.fits(num_rows, num_steps)):
                break
            pool = backend.make_pool(num_rows if row else 0)
            for slot in range(num_rows if row else 0):
                pool.write(slot, row)
            states = pool.unpack(pool.gather(range(num_rows))) if row else []
            lengths = np.full(num_rows, num_steps, np.int32)
            began = clock()
            backend.run(inputs, states, lengths)
            backend.wait()
            taken = (clock() - began) / num_steps
            # The least is what the program takes; what is above is something else on the machine.
            # Of the first sweep: what is made once, for a shape.
            least[num_rows] = taken if sweep == 1 else min(taken, least.get(num_rows, taken))
            num_rows *= 2
    return CostCurve([CostPoint(rows, seconds) for rows, seconds in least.items()])
