"""Steps of a sequence on the witness: inputs are numbers, answers running sums since the start."""

import time

import pytest

from carousel.service.api.http.in_task import awaited
from carousel.service.errors import (
    SessionNotFound,
)
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.sequences import Started, sequence_key
from carousel.service.sessions.session_record import Key
from carousel.service.sessions.step import Step
from tests.harness.fakes import PATIENCE_S
from tests.harness.rig import Rig, sequence

KEY = sequence_key("", "witness", 7)


def make_step(*values: float, position: int | None = None, end: bool = False) -> Step:
    """A step that feeds the witness numbers, one a time step."""
    return Step(
        {"x": sequence(*values)},
        len(values),
        time.monotonic() + PATIENCE_S,
        position,
        ends=end,
    )


async def start(
    rig: Rig, *values: float, position: int | None = None, end: bool = False, key: Key = KEY
) -> Started:
    """The first step of a sequence."""
    step = make_step(*values, position=position, end=end)
    return await rig.sessions.sequences.start(key, rig.model, step)


async def go_on(
    rig: Rig, *values: float, position: int | None = None, end: bool = False, key: Key = KEY
) -> StepReply:
    """A later step of it."""
    step = make_step(*values, position=position, end=end)
    begin = rig.sessions.sequences.begin
    return await awaited(
        lambda done: begin(key, lambda _: step, step.deadline, done, ends=step.ends)
    )


async def gone(rig: Rig, key: Key = KEY) -> bool:
    """Whether the session's own calls find no session."""
    for call in (rig.sessions.info, rig.sessions.read_state, rig.sessions.delete):
        with pytest.raises(SessionNotFound):
            await call(*key)
    with pytest.raises(SessionNotFound):
        await rig.sessions.fork(*key, count=1)
    return key[1] not in [each.session_id for each in (await rig.sessions.page("")).sessions]
