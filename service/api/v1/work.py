"""Sequences to run whole: what a request for inference asks, whatever it was read from."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from carousel.models.row import Array
from carousel.service.api.encoding.inputs import InputSequence
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import forget_frames


@dataclass(slots=True)
class Work:
    """What a request asks: sequences, the row of states that each starts from (None: the model's
    initial values), and whether to show its end.
    """

    sequences: list[InputSequence]
    rows: list[bytes | None]
    with_state: bool


@dataclass(slots=True)
class RowResult:
    """What one row gave: outputs in wire layout and, if asked for, states in session shape."""

    outputs: Mapping[str, Array]
    state: Mapping[str, Array] | None = None


async def run(
    loaded: LoadedModel, work: Work, deadline: float, max_at_once: int
) -> Sequence[RowResult]:
    """The results of all sequences, `max_at_once` of them in the model's queue together."""

    async def infer(index: int) -> RowResult:
        sequence = work.sequences[index]
        result = await loaded.engine.infer(
            sequence.inputs,
            sequence.num_steps,
            deadline=deadline,
            state=work.rows[index],
            wants_state=work.with_state,
        )
        state = None if result.state is None else loaded.layout.unpack(result.state)
        return RowResult(result.outputs, state)

    count = len(work.sequences)
    if count == 1:
        return [await infer(0)]
    results: list[RowResult] = []
    for start in range(0, count, max_at_once):
        part = range(start, min(start + max_at_once, count))
        tasks = [asyncio.ensure_future(infer(index)) for index in part]
        try:
            results += await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            # One is told; the others are let go here.
            for each in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(each, Exception):
                    forget_frames(each)
            raise
    return results
