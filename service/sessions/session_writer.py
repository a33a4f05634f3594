"""Writes that put something else in a session's place: another state, or nothing."""

from dataclasses import replace

from carousel.service.errors import PreconditionFailed, StateCorrupt
from carousel.service.sessions.clock import Clock
from carousel.service.sessions.committer import new_revision
from carousel.service.sessions.etag import check_match
from carousel.service.sessions.session_cache import HeldSession, SessionCache
from carousel.service.sessions.session_record import Key, SessionMeta, SessionRecord
from carousel.service.sessions.settled import settled
from carousel.service.sessions.stores.base import Damaged, Found, Outcome, Write


class SessionWriter:
    """Overwrites and deletes on the session's turn, which stays until the store has answered.

    Until then the session stays in memory as well: whoever found none there would read what is
    being replaced, and take it for the truth afterwards.
    """

    def __init__(self, cache: SessionCache, clock: Clock) -> None:
        self._cache = cache
        self._store = cache.store
        self._clock = clock

    def __repr__(self) -> str:
        return f"<SessionWriter {self._store!r}>"

    async def overwrite(
        self, held: HeldSession, row: bytes, position: int, if_match: str | None
    ) -> SessionMeta:
        """Set the state and its position, without recorded replies; the metadata that is stored.

        Raises PreconditionFailed if `if_match` (the header's text) names other revisions only.
        """
        while True:
            meta = held.record.meta
            check_match(if_match, meta)
            after = replace(
                meta,
                version=held.session.loaded.version,
                revision=new_revision(),
                position=position,
                used_at=self._clock(),
                replies=b"",
                started=False,
            )
            outcome = await self._put(held, Write(meta.revision, SessionRecord(after, row)))
            if outcome is Outcome.WRITTEN:
                return after
            # Another server wrote it meanwhile: what it wrote is what must match.
            held.record = await self._cache.reload(held.session)
            if held.record.meta.state_id != meta.state_id:
                raise PreconditionFailed("the session was opened anew, for another model")

    async def _put(self, held: HeldSession, write: Write) -> Outcome:
        """One try; the session leaves memory unless another server's write is to be looked at."""
        outcome: Outcome | None = None
        try:
            (outcome,) = await settled(self._store.write([write]))
        finally:
            if outcome not in (Outcome.LOST, Outcome.GONE):
                self._cache.resident.drop(held.session)
        if outcome is Outcome.DAMAGED:
            session_id = held.session.id
            raise StateCorrupt(f"the store cannot read what it holds of session {session_id!r}")
        return outcome

    async def delete_held(self, held: HeldSession, if_match: str | None) -> None:
        """Delete a session that was found and is sound. Raises as `delete`."""
        try:
            await self.delete(held.session.meta.key, held.record, if_match)
        finally:
            self._cache.resident.drop(held.session)

    async def delete(self, key: Key, found: Found, if_match: str | None) -> None:
        """Delete what the store holds of a session. Raises PreconditionFailed, SessionNotFound,
        SessionExpired, and StateCorrupt where `if_match` is to be compared with a damaged one.
        """
        while True:
            if isinstance(found, Damaged) and if_match is None:
                revision = found.revision
            else:
                meta = self._cache.require_live(found, key[1]).meta
                check_match(if_match, meta)
                revision = meta.revision
            if await settled(self._store.delete(key, revision)) is Outcome.WRITTEN:
                return
            # Another server was first: what it wrote is what must match, and what it deleted was
            # not deleted here.
            found = await self._store.load(key)
