"""A step of many of the witness's sessions in one request."""

import time
from collections.abc import Sequence

import numpy as np

from carousel.service.sessions.column_run import run_columns
from carousel.service.sessions.columns import ColumnReplies, Columns
from tests.harness.fakes import PATIENCE_S
from tests.harness.rig import Rig, sequence

IDS = [f"s{n}" for n in range(10)]


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


async def open_ten(rig: Rig) -> None:
    """Open the sessions of IDS."""
    for each in IDS:
        await rig.open(each)


async def step_ten(
    rig: Rig,
    values: Sequence[Sequence[float]],
    *,
    ids: Sequence[str] = IDS,
    position: int | None = None,
    deadline: float | None = None,
) -> ColumnReplies:
    """Feed each session its numbers, all from one position."""
    at = None if position is None else [position] * len(ids)
    return await step_columns(rig, ids, values, at, deadline=deadline)


def last_sums(replies: ColumnReplies) -> list[float]:
    """The last output of each row of equal length."""
    return [float(each) for each in replies.outputs["output"][:, -1, 0]]
