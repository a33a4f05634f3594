"""Writes that put something else in a session's place: another state, or nothing."""

from collections.abc import Callable
from dataclasses import replace

from carousel.service.errors import PreconditionFailed, StateCorrupt
from carousel.service.sessions.commits import new_revision
from carousel.service.sessions.etag import check_match
from carousel.service.sessions.lookup import Held, Lookup
from carousel.service.sessions.record import Head, Key, Record
from carousel.service.sessions.settled import settled
from carousel.service.sessions.stores.base import Damaged, Found, Outcome, Write


class Changes:
    """Overwrites and deletes on the session's turn, which stays until the store has answered.

    Until then the session stays in memory as well: whoever found none there would read what is
    being replaced, and take it for the truth afterwards. `clock`: seconds since the epoch.
    """

    def __init__(self, lookup: Lookup, clock: Callable[[], float]) -> None:
        self._lookup = lookup
        self._store = lookup.store
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Changes {self._store!r}>"

    async def overwrite(self, held: Held, row: bytes, position: int, if_match: str | None) -> Head:
        """Set the state and its position, without recorded replies; the head that is stored.

        Raises PreconditionFailed if `if_match` (the header's text) names other revisions only.
        """
        while True:
            head = held.record.head
            check_match(if_match, head)
            after = replace(
                head,
                version=held.session.loaded.version,
                revision=new_revision(),
                position=position,
                used_at=self._clock(),
                replies=b"",
                started=False,
            )
            outcome = await self._put(held, Write(head.revision, Record(after, row)))
            if outcome is Outcome.WRITTEN:
                return after
            # Another server wrote it meanwhile: what it wrote is what must match.
            held.record = await self._lookup.reload(held.session)
            if held.record.head.state_id != head.state_id:
                raise PreconditionFailed("the session was opened anew, for another model")

    async def _put(self, held: Held, write: Write) -> Outcome:
        """One try; the session leaves memory unless another server's write is to be looked at."""
        outcome: Outcome | None = None
        try:
            (outcome,) = await settled(self._store.write([write]))
        finally:
            if outcome not in (Outcome.LOST, Outcome.GONE):
                self._lookup.table.drop(held.session)
        if outcome is Outcome.DAMAGED:
            session_id = held.session.id
            raise StateCorrupt(f"the store cannot read what it holds of session {session_id!r}")
        return outcome

    async def delete_held(self, held: Held, if_match: str | None) -> None:
        """Delete a session that was found and is sound. Raises as `delete`."""
        try:
            await self.delete(held.session.head.key, held.record, if_match)
        finally:
            self._lookup.table.drop(held.session)

    async def delete(self, key: Key, found: Found, if_match: str | None) -> None:
        """Delete what the store holds of a session. Raises PreconditionFailed, SessionNotFound,
        SessionExpired, and StateCorrupt where `if_match` is to be compared with a damaged one.
        """
        while True:
            if isinstance(found, Damaged) and if_match is None:
                revision = found.revision
            else:
                head = self._lookup.require_live(found, key[1]).head
                check_match(if_match, head)
                revision = head.revision
            if await settled(self._store.delete(key, revision)) is Outcome.WRITTEN:
                return
            # Another server was first: what it wrote is what must match, and what it deleted was
            # not deleted here.
            found = await self._store.load(key)
