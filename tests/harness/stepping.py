"""Awaits steps, which the service only ever begins."""

import asyncio
from collections.abc import Callable

from carousel.service.sessions.results import StepReply
from carousel.service.sessions.step import Done
from carousel.service.sessions.step_run import StepRun


async def stepped(begin: Callable[[Done], StepRun]) -> StepReply:
    """The reply to a step that `begin` begins; raises why there is none. A wait that is cancelled
    abandons the step.
    """
    future: asyncio.Future[StepReply] = asyncio.get_running_loop().create_future()

    def done(outcome: StepReply | Exception) -> None:
        if future.done():
            return
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    run = begin(done)
    try:
        return await future
    except asyncio.CancelledError:
        run.abandon()
        raise
