"""One step of many sessions on its way: those that are in memory, idle, and where their rows say.

What step_run.py does for one session is done here for all at once, as far as it can be: such a step
waits for nothing, replays nothing, and is refused by nobody but the program and the store. Of a row
whose write was lost the caller begins a StepRun, as of any row that is not so.
"""

from collections.abc import Callable, Mapping, Sequence

from carousel.models.row import Array
from carousel.service.engine.block import Block
from carousel.service.engine.engine import Engine
from carousel.service.engine.request import Request
from carousel.service.errors import StateCorrupt, StoreUnavailable
from carousel.service.sessions.committer import BlockTicket, WriteLost
from carousel.service.sessions.session import Session
from carousel.service.sessions.session_cache import SessionCache


class BlockRun(BlockTicket):
    """A block of one model. Owned by the event loop; the sessions keep their turn until the commit
    is known.
    """

    __slots__ = ("_block", "_cache", "_done", "_engine")

    def __init__(
        self, cache: SessionCache, sessions: Sequence[Session], done: "Callable[[Block], None]"
    ) -> None:
        """`sessions`: idle, of one model, at most as many as a block may have.

        `done` is told of the block that has run: its `error` is that of all rows that have none in
        `faults`, WriteLost among them.
        """
        super().__init__(sessions)
        self._cache = cache
        self._done = done
        self._engine: Engine = sessions[0].loaded.engine

    def __repr__(self) -> str:
        return f"<BlockRun {len(self.sessions)} sessions>"

    def begin(
        self, inputs: Mapping[str, Array], num_steps: int, deadline: float, slots: list[int]
    ) -> None:
        """Queue the step. `inputs`: (B, T, F...) each; `slots`: a fresh one for each session.

        Raises as `Engine.enqueue`; then nothing has changed, and the slots are free again.
        """
        sessions = self.sessions
        self._block = Block(
            dict(inputs),
            num_steps,
            deadline,
            commits=True,
            ticket=self,
            on_done=self._finished,
            sources=[session.slot for session in sessions],
            targets=slots,
            states=[session.row for session in sessions],
        )
        try:
            self._engine.enqueue(self._block)
        except Exception:
            for slot in slots:
                self._engine.release(slot)
            raise
        for session in sessions:
            self._cache.resident.wake(session)

    def abandon(self) -> None:
        """The client has gone: the step need not run, unless it does already."""
        self._block.abandoned = True

    def _finished(self, request: Request) -> None:
        """The engine is done with the block, and the store with what it left."""
        block, resident = self._block, self._cache.resident
        for row, (session, slot, record) in enumerate(
            zip(self.sessions, block.targets, self.records, strict=True)
        ):
            fault = block.faults.get(row, block.error)
            if fault is None and record is not None:
                session.meta = record.meta
                resident.move(session, slot, record.state)
            else:
                self._engine.release(slot)
                if isinstance(fault, StoreUnavailable | StateCorrupt | WriteLost):
                    resident.drop(session)
            self._cache.leave(session)
        self._done(block)
