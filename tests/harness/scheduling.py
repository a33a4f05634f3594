"""Schedulers and requests of tests that decide, and run nothing."""

import numpy as np

from carousel.service.engine.chunk_budget import ChunkBudget
from carousel.service.engine.cost_curve import CostCurve, CostPoint
from carousel.service.engine.pace import Pace
from carousel.service.engine.request import Request
from carousel.service.engine.scheduler import Limits, Scheduler

SOON = 100.0
# Models whose runs take as long as they have rows, and as long whatever they have.
BY_ROWS = CostCurve([CostPoint(1, 1e-3)])
FLAT = CostCurve([CostPoint(1, 1e-3), CostPoint(1 << 20, 1e-3)])


def make_request(num_steps: int, deadline: float = SOON) -> Request:
    """A sequence of zeros."""
    return Request({"x": np.zeros((num_steps, 1), np.float32)}, num_steps, deadline)


def make_scheduler(
    *,
    max_rows: int = 8,
    max_run_steps: int | None = None,
    chunked: bool = True,
    mixed_lengths: bool = True,
    pace: Pace | None = None,
) -> Scheduler:
    """A scheduler of a program with these limits, whose chunks have 5 ms."""
    limits = Limits(
        max_rows=max_rows,
        max_run_steps=max_run_steps,
        chunked=chunked,
        mixed_lengths=mixed_lengths,
    )
    return Scheduler(limits, ChunkBudget(0.005), pace)
