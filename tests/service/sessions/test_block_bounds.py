"""What bounds rows that go together: slots, memory, the queue, and what a program may say."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from carousel.models.row import Array
from carousel.service.engine.run_memory import RunMemory
from tests.harness.columns import last_sums, open_ten, step_ten
from tests.harness.fakes import WitnessBackend
from tests.harness.rig import Rig, play


def test_blocks_of_one_request_take_no_slot_from_one_another() -> None:
    """More sessions than there are slots for, in several blocks: each goes on from where it was,
    also one that was given up for the slots of a block before its own.
    """

    async def scenario() -> None:
        ids = [f"s{n}" for n in range(16)]
        async with Rig(num_slots=16, max_rows=4, lanes=2) as rig:
            for each in ids:
                await rig.open(each)
                await rig.step(each, 100)
            replies = await step_ten(rig, [[1]] * 16, ids=ids)
            assert last_sums(replies) == [101] * 16
            assert [await rig.total(each) for each in ids] == [101] * 16

    play(scenario)


@pytest.mark.parametrize("room", [5000, 20_000])
def test_rows_too_long_for_a_run_together_run_alone(room: int) -> None:
    """What a run may take in memory bounds blocks too, and no row goes unanswered."""

    async def scenario() -> None:
        async with Rig(num_slots=32, lanes=2) as rig:
            await open_ten(rig)
            scheduler = rig.engine.core.scheduler
            memory = RunMemory.of(rig.model.spec, room)
            scheduler.limits = replace(scheduler.limits, memory=memory)
            replies = await step_ten(rig, [[1] * 50] * 10)
            assert last_sums(replies) == [50] * 10
            assert replies.positions.tolist() == [50] * 10
            assert all(memory.fits(rows, steps) for rows, steps in rig.backend.batches)

    play(scenario)


def test_rows_of_one_request_do_not_fill_the_queue_for_each_other() -> None:
    """A thousand rows whose inputs are more bytes than may wait: they come one after another."""

    async def scenario() -> None:
        ids = [f"s{n}" for n in range(1000)]
        async with Rig(num_slots=4096, max_bytes=64_000) as rig:
            for each in ids:
                await rig.open(each)
            replies = await step_ten(rig, [[1] * 20] * 1000, ids=ids)
            assert replies.status.tolist() == [200] * 1000
            assert last_sums(replies) == [20] * 1000

    play(scenario)


class _Lying(WitnessBackend):
    """Once `lie` says so, its outputs lack the last row, or the last time step."""

    lie: slice | tuple[slice, slice] | None = None

    def run(
        self,
        inputs: Mapping[str, Array],
        states: Sequence[Array],
        lengths: npt.NDArray[np.int32],
    ) -> tuple[list[Array], list[Array]]:
        outputs, after = super().run(inputs, states, lengths)
        if self.lie is not None:
            outputs = [outputs[0][self.lie]]
        return outputs, after


@pytest.mark.parametrize("lie", [slice(-1), (slice(None), slice(-1))])
def test_outputs_of_another_shape_are_never_answered(lie: slice | tuple[slice, slice]) -> None:
    """A program that gives a row or a step too few fails its rows, and no session moves."""

    async def scenario() -> None:
        backend = _Lying()
        async with Rig(num_slots=32, backend=backend) as rig:
            await open_ten(rig)
            await step_ten(rig, [[1]] * 10)
            backend.lie = lie
            replies = await step_ten(rig, [[1, 1, 1]] * 10)
            assert replies.status.tolist() == [500] * 10
            backend.lie = None
            assert last_sums(await step_ten(rig, [[1]] * 10, position=1)) == [2] * 10

    play(scenario)
