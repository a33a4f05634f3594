"""Rows for the Redis store's tests: sessions, steps of them, and commits that are waited for."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from threading import Event

from redis import Redis

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.committer import new_revision
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Outcome, Store, Write
from tests.harness.fakes import PATIENCE_S

Outcomes = list[Outcome] | StoreUnavailable


def session(
    session_id: str,
    *,
    tenant: str = "t",
    model: str = "m",
    used_at: float = 1000.0,
    ttl_s: float = 60.0,
    state: bytes = b"\1" * 16,
    replies: bytes = b"",
) -> SessionRecord:
    """A session at position 0."""
    identity = SessionIdentity((tenant, session_id), model, "w", 900.0, ttl_s)
    return SessionRecord(SessionMeta(identity, 1, new_revision(), 0, used_at, replies), state)


def step(record: SessionRecord, *, used_at: float = 1000.0) -> Write:
    """The write that moves a session on by one."""
    before = record.meta
    after = replace(before, revision=new_revision(), position=before.position + 1, used_at=used_at)
    return Write(before.revision, SessionRecord(after, record.state))


class Commits:
    """Commits of one store: begun in order, each with its outcomes once they are known."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._done: list[Event] = []
        self._outcomes: list[Outcomes | None] = []

    def begin(self, *writes: Write) -> int:
        """Commit a batch as an engine does; returns its number."""
        number = len(self._done)
        self._done.append(Event())
        self._outcomes.append(None)

        def done(outcomes: Sequence[Outcome] | StoreUnavailable) -> None:
            assert self._outcomes[number] is None, "told twice"
            if not isinstance(outcomes, StoreUnavailable):
                outcomes = list(outcomes)
            self._outcomes[number] = outcomes
            self._done[number].set()

        self._store.commit(writes, done)
        return number

    async def outcomes(self, number: int) -> Outcomes:
        """What became of a batch, once it is known."""
        assert await asyncio.to_thread(self._done[number].wait, PATIENCE_S), "nobody was told"
        found = self._outcomes[number]
        assert found is not None
        return found


async def commit(store: Store, *writes: Write) -> Outcomes:
    """Commit one batch and wait for its outcomes."""
    commits = Commits(store)
    return await commits.outcomes(commits.begin(*writes))


def scripts_run(client: Redis) -> int:
    """How often Redis was asked to run a script, refused ones included."""
    stats = client.info("commandstats")
    found = stats.get("cmdstat_evalsha", {"calls": 0, "rejected_calls": 0})
    return int(found["calls"]) + int(found["rejected_calls"])
