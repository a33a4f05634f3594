"""Turns the finished steps of a batch into records and hands them to the store."""

import os
from collections.abc import Sequence

from carousel.service.engine.engine import Deliver
from carousel.service.engine.request import Request
from carousel.service.errors import StateCorrupt, StoreUnavailable
from carousel.service.sessions.clock import Clock
from carousel.service.sessions.recorded_reply import add_reply
from carousel.service.sessions.session import Session
from carousel.service.sessions.session_record import SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Outcome, Store, Write

_REVISION_BYTES = 16


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
        revisions = os.urandom(_REVISION_BYTES * len(requests))
        writes = [
            self._write(
                request, now, revisions[index * _REVISION_BYTES : (index + 1) * _REVISION_BYTES]
            )
            for index, request in enumerate(requests)
        ]

        def done(outcomes: Sequence[Outcome] | StoreUnavailable) -> None:
            _mark(requests, outcomes)
            deliver(requests)

        self._store.commit(writes, done)

    def _write(self, request: Request, now: float, revision: bytes) -> Write:
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


def _mark(requests: Sequence[Request], outcomes: Sequence[Outcome] | StoreUnavailable) -> None:
    if isinstance(outcomes, StoreUnavailable):
        for request in requests:
            request.error = StoreUnavailable(outcomes.detail, hint=outcomes.hint)
        return
    for request, outcome in zip(requests, outcomes, strict=True):
        if outcome is Outcome.DAMAGED:
            request.error = StateCorrupt(
                "the store cannot read what it holds of the session",
                hint="delete the session and open it again; its id is free then",
            )
        elif outcome is not Outcome.WRITTEN:
            request.error = WriteLost()
