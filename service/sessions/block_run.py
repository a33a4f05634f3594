"""One step of many sessions on its way: those that are in memory, idle, and where their rows say.

What step_run.py does for one session is done here for all at once, as far as it can be: such a step
waits for nothing, replays nothing, and is refused by nobody but the program and the store. Of a row
whose write was lost the caller begins a StepRun, as of any row that is not so.
"""

from collections.abc import Callable, Iterator, Sequence

from carousel.models.row import Array
from carousel.service.engine.block import Block
from carousel.service.engine.engine import Engine
from carousel.service.engine.request import Request
from carousel.service.sessions.committer import UNKNOWN, BlockTicket, WriteLost
from carousel.service.sessions.session import Session
from carousel.service.sessions.session_cache import SessionCache
from carousel.service.sessions.session_record import SessionRecord


class BlockRun(BlockTicket):
    """A block of one model. Owned by the event loop; the sessions keep their turn until the commit
    is known.
    """

    __slots__ = ("_block", "_cache", "_done", "_engine", "_slots", "positions")

    def __init__(
        self,
        cache: SessionCache,
        sessions: Sequence[Session],
        done: "Callable[[BlockRun, Block], None]",
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

    def take_slots(self) -> int:
        """Take the turn on the sessions, the first of them as far as there are slots for their new
        states; returns how many. The others are left as they were.
        """
        resident, sessions = self._cache.resident, self.sessions
        # First this: a slot may be had by giving up a session that is idle.
        for session in sessions:
            resident.wake(session)
        self._slots = self._engine.take_slots(len(sessions))
        self.sessions = sessions[: len(self._slots)]
        for session in sessions[len(self._slots) :]:
            self._cache.leave(session)
        return len(self._slots)

    def begin(self, inputs: dict[str, Array], num_steps: int, deadline: float) -> None:
        """Queue the step. `inputs`: (B, T, F...) each. Raises as `Engine.enqueue`; then the
        sessions and slots are free again.
        """
        sessions = self.sessions
        try:
            self.records = [None] * len(sessions)
            self.positions = [session.meta.position + num_steps for session in sessions]
            self._block = Block(
                inputs,
                num_steps,
                deadline,
                commits=True,
                ticket=self,
                on_done=self._finished,
                sources=[session.slot for session in sessions],
                targets=self._slots,
                states=[session.row for session in sessions],
            )
            self._engine.enqueue(self._block)
        except Exception:
            for session, slot in zip(sessions, self._slots, strict=True):
                self._engine.release(slot)
                self._cache.leave(session)
            raise

    def abandon(self) -> None:
        """The client has gone: the step need not run, unless it does already."""
        self._block.abandoned = True

    def _finished(self, request: Request) -> None:
        """The engine is done with the block, and the store with what it left."""
        block, cache = self._block, self._cache
        if block.error is None and not block.faults:
            cache.resident.move_all(self.sessions, block.targets, self._records())
        else:
            self._settle_each(block)
        for session in self.sessions:
            cache.leave(session)
        self._done(self, block)

    def _records(self) -> Iterator[SessionRecord]:
        for record in self.records:
            assert record is not None
            yield record

    def _settle_each(self, block: Block) -> None:
        resident = self._cache.resident
        for row, (session, slot, record) in enumerate(
            zip(self.sessions, block.targets, self.records, strict=True)
        ):
            fault = block.faults.get(row, block.error)
            if fault is None and record is not None:
                resident.move_all([session], [slot], [record])
                continue
            self._engine.release(slot)
            if isinstance(fault, (*UNKNOWN, WriteLost)):
                resident.drop(session)
