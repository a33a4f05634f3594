"""Brings new sessions into the store: what is opened, and what is forked."""

from collections.abc import Sequence

from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import NotStreamable, StateCorrupt
from carousel.service.sessions.clock import Clock
from carousel.service.sessions.committer import new_revision
from carousel.service.sessions.session_cache import SessionCache
from carousel.service.sessions.session_record import (
    Key,
    SessionIdentity,
    SessionMeta,
    SessionRecord,
)
from carousel.service.sessions.stores.base import Damaged, Found, Outcome, Write


class SessionOpener:
    """Makes records and writes them where nothing stands in the way. Owned by the event loop."""

    def __init__(self, cache: SessionCache, ttl_s: float, clock: Clock) -> None:
        self._cache = cache
        self._store = cache.store
        self._ttl_s = ttl_s
        self._clock = clock

    def __repr__(self) -> str:
        return f"<SessionOpener {self._store!r}>"

    def record(
        self, key: Key, loaded: LoadedModel, row: bytes, position: int, ttl_s: float | None
    ) -> SessionRecord:
        """A session as it is when it is opened; `ttl_s` None: the service's own."""
        now = self._clock()
        lives_s = ttl_s if ttl_s is not None else self._ttl_s
        identity = SessionIdentity(key, loaded.name, loaded.state_id, now, lives_s)
        return SessionRecord(
            SessionMeta(identity, loaded.version, new_revision(), position, now), row
        )

    async def create(self, records: Sequence[SessionRecord]) -> list[SessionRecord]:
        """Write new sessions, all or none; returns the live ones that stand in their way.

        An expired session that was not swept yet stands in nobody's way: it is written over. Raises
        SessionLimit, and StateCorrupt for an id whose session is damaged.
        """
        while True:
            found = await self._load(records)
            if any(map(self._is_live, found)):
                # What another server writes at once may have come between two of these looks; once
                # a part of it is seen, all of it is there to be seen.
                found = await self._load(records)
                taken = [each for each in found if self._is_live(each)]
                if taken:
                    return [self._cache.require_live(each, "") for each in taken]
            writes = [
                Write(there.meta.revision if isinstance(there, SessionRecord) else None, record)
                for there, record in zip(found, records, strict=True)
            ]
            outcomes = await self._store.write(writes, atomic=True)
            if Outcome.DAMAGED in outcomes:
                raise StateCorrupt("the store cannot read where the session would be kept")
            if all(outcome is Outcome.WRITTEN for outcome in outcomes):
                return []

    async def _load(self, records: Sequence[SessionRecord]) -> list[Found]:
        return [await self._store.load(each.meta.key) for each in records]

    def _is_live(self, found: Found) -> bool:
        if isinstance(found, Damaged):
            return True
        if not isinstance(found, SessionRecord) or found.meta.ended:
            return False
        return not self._clock.has_ended(found.meta)


def require_streamable(loaded: LoadedModel) -> None:
    """Raise NotStreamable for a model that no session can be opened on."""
    if not loaded.spec.is_streamable:
        reason = loaded.spec.streaming_reason or "it has no state"
        raise NotStreamable(f"{loaded.name} takes whole sequences only: {reason}", reason=reason)
