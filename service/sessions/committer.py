"""Turns the finished steps of a batch into records and hands them to the store."""

import os
from collections.abc import Iterator, Sequence

from carousel.service.engine.block import Block
from carousel.service.engine.engine import Deliver
from carousel.service.engine.request import Request
from carousel.service.errors import StateCorrupt, StoreUnavailable
from carousel.service.sessions.clock import Clock
from carousel.service.sessions.recorded_reply import add_block, add_reply
from carousel.service.sessions.session import Session
from carousel.service.sessions.session_record import SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Outcome, Store, Write

_REVISION_BYTES = 16
# After these nobody knows what the store holds of a session.
UNKNOWN = (StoreUnavailable, StateCorrupt)


class WriteLost(Exception):
    """Somebody else wrote the session, or it is gone: the step did not count and is judged anew."""


class Ticket:
    """What a step carries through the engine: its session, the position it leads to, whether it
    ends the session, and once it ran, the metadata to be.
    """

    __slots__ = ("after", "ends", "position", "session")

    session: Session

    def __init__(self) -> None:
        self.position = 0
        self.ends = False
        self.after: SessionMeta | None = None


class BlockTicket:
    """The same for a block: the sessions of its rows, and once it ran, what the store is given of
    each. Of rows at fault that is None.
    """

    __slots__ = ("records", "sessions")

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions = sessions
        self.records: list[SessionRecord | None] = [None] * len(sessions)


def new_revision() -> bytes:
    """A revision that nobody ever drew before."""
    return os.urandom(_REVISION_BYTES)


class Committer:
    """The engine's `commit`. Runs on an engine's thread; a session in flight is nobody else's."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def __call__(self, requests: list[Request], deliver: Deliver) -> None:
        """Write every request's session, then deliver them, those that were not written with an
        error: WriteLost or StoreUnavailable.
        """
        now = self._clock()
        revisions = _revisions(len(requests))
        writes: list[Write] = []
        for request, revision in zip(requests, revisions, strict=True):
            if isinstance(request, Block):
                writes += _write_block(request, now)
            else:
                writes.append(_write(request, now, revision))

        def done(outcomes: Sequence[Outcome] | StoreUnavailable) -> None:
            if isinstance(outcomes, StoreUnavailable):
                for request in requests:
                    request.error = StoreUnavailable(outcomes.detail, hint=outcomes.hint)
            else:
                _mark(requests, iter(outcomes))
            deliver(requests)

        self._store.commit(writes, done)


def _revisions(count: int) -> Iterator[bytes]:
    data = os.urandom(_REVISION_BYTES * count)
    return (data[start : start + _REVISION_BYTES] for start in range(0, len(data), _REVISION_BYTES))


def _write(request: Request, now: float, revision: bytes) -> Write:
    ticket = request.ticket
    assert isinstance(ticket, Ticket)
    assert request.state_out is not None
    before = ticket.session.meta
    # Of an ended session nothing but its last step is ever answered again.
    replies = b"" if ticket.ends else before.replies
    after = SessionMeta(
        before.identity,
        ticket.session.loaded.version,
        revision,
        ticket.position,
        now,
        add_reply(replies, before.position, ticket.position, request.inputs, request.outputs),
        ticket.ends,
    )
    ticket.after = after
    return Write(before.revision, SessionRecord(after, request.state_out))


def _write_block(block: Block, now: float) -> Iterator[Write]:
    ticket = block.ticket
    assert isinstance(ticket, BlockTicket)
    assert block.states_out is not None
    rows = [row for row in range(block.num_rows) if row not in block.faults]
    inputs, outputs, states = block.inputs, block.outputs, block.states_out
    if block.faults:
        inputs = {name: array[rows] for name, array in inputs.items()}
        outputs = {name: array[rows] for name, array in outputs.items()}
        states = states[rows]
    metas = [ticket.sessions[row].meta for row in rows]
    replies = add_block(
        [meta.replies for meta in metas],
        [meta.position for meta in metas],
        block.num_steps,
        inputs,
        outputs,
    )
    data, size = states.tobytes(), states.shape[1]
    starts = range(0, len(data), size)
    for row, before, revision, kept, start in zip(
        rows, metas, _revisions(len(rows)), replies, starts, strict=True
    ):
        after = SessionMeta(
            before.identity,
            ticket.sessions[row].loaded.version,
            revision,
            before.position + block.num_steps,
            now,
            kept,
        )
        record = SessionRecord(after, data[start : start + size])
        ticket.records[row] = record
        yield Write(before.revision, record)


def _mark(requests: Sequence[Request], outcomes: Iterator[Outcome]) -> None:
    """Each request, and each row of a block, its own of the outcomes."""
    for request in requests:
        if isinstance(request, Block):
            for row in range(request.num_rows):
                if row not in request.faults:
                    error = _error_of(next(outcomes))
                    if error is not None:
                        request.faults[row] = error
        else:
            request.error = _error_of(next(outcomes))


def _error_of(outcome: Outcome) -> Exception | None:
    if outcome is Outcome.WRITTEN:
        return None
    if outcome is Outcome.DAMAGED:
        return StateCorrupt(
            "the store cannot read what it holds of the session",
            hint="delete the session and open it again; its id is free then",
        )
    return WriteLost()
