"""A step of many of the witness's sessions in one request."""

import time
from collections.abc import Sequence

import numpy as np

from carousel.service.sessions.column_run import run_columns
from carousel.service.sessions.columns import ColumnReplies, Columns
from tests.harness.fakes import PATIENCE_S
from tests.harness.rig import Rig, sequence


async def step_columns(
    rig: Rig,
    ids: Sequence[str],
    values: Sequence[Sequence[float]],
    positions: Sequence[int] | None = None,
    *,
    deadline: float | None = None,
) -> ColumnReplies:
    """Feed each session its numbers; packed where they are not as many each."""
    lengths = [len(each) for each in values]
    inputs = [sequence(*each) for each in values]
    packed = len(set(lengths)) > 1
    columns = Columns(
        rig.model,
        list(ids),
        {"x": np.concatenate(inputs) if packed else np.stack(inputs)},
        lengths[0],
        np.array(lengths) if packed else None,
        None if positions is None else np.array(positions),
        False,
        None,
        time.monotonic() + PATIENCE_S if deadline is None else deadline,
    )
    return await run_columns(rig.sessions, "", columns, max_at_once=100)
