"""The door to sessions: open, step, read, write, fork, reset, delete, list."""

import asyncio
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

from carousel.models.row import Array
from carousel.service.engine.catalog import Catalog
from carousel.service.engine.engine import Engine
from carousel.service.engine.start_state import restart_row, start_row
from carousel.service.errors import (
    InvalidRequest,
    ModelMismatch,
    SessionExists,
    StateCorrupt,
)
from carousel.service.sessions.clock import Clock
from carousel.service.sessions.committer import Committer
from carousel.service.sessions.etag import etag
from carousel.service.sessions.results import Fork, Resume, SessionInfo, SessionPage, StateRead
from carousel.service.sessions.sequences import Sequences
from carousel.service.sessions.session_cache import HeldSession, SessionCache
from carousel.service.sessions.session_opener import SessionOpener, require_streamable
from carousel.service.sessions.session_record import SessionMeta
from carousel.service.sessions.session_writer import SessionWriter
from carousel.service.sessions.step_run import begin_step
from carousel.service.sessions.stores.base import Store

# A session that expired is kept this long before it is swept: above any deadline and the difference
# between what two servers take for the time.
SWEEP_GRACE_S = 60.0
# A session that was idle for this long leaves memory at the next sweep; a step brings it back.
IDLE_S = 60.0
_AT_ONCE = 500


class Sessions:
    """All sessions of all tenants. Owned by the event loop. Times are seconds since the epoch, by
    `clock`. `max_ttl_s`: the longest that a session may live.

    `deadline` (monotonic seconds): how long a call waits for its turn on a session.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        *,
        ttl_s: float,
        max_ttl_s: float,
        tombstone_s: float,
        deadline_s: float,
        max_waiting: int,
        clock: Clock,
    ) -> None:
        self.store = store
        self._catalog = catalog
        self._max_ttl_s = max_ttl_s
        self._tombstone_s = tombstone_s
        self._deadline_s = deadline_s
        self._clock = clock
        # For steps of many sessions, which column_run.py takes through it together.
        self.cache = SessionCache(store, catalog, clock, max_waiting=max_waiting)
        self._opener = SessionOpener(self.cache, ttl_s, clock)
        self._writer = SessionWriter(self.cache, clock)
        self._committer = Committer(store, clock)
        self.peek = self.cache.peek
        self.find = self.cache.find
        self.begin = partial(begin_step, self.cache)
        self.sequences = Sequences(self.cache, self._opener)

    def __repr__(self) -> str:
        return f"<Sessions {self.store!r} {self.cache!r}>"

    @property
    def num_in_memory(self) -> int:
        return len(self.cache.resident)

    def attach(self, engine: Engine) -> None:
        """Let an engine commit its finished steps here; before it starts."""
        engine.commit = self._committer

    def detach(self, engine: Engine) -> None:
        """Forget the sessions of an engine that is being retired."""
        self.cache.resident.forget_engine(engine)

    async def open(
        self,
        tenant: str,
        *,
        model: str,
        version: int | None = None,
        session_id: str | None = None,
        state: Mapping[str, Array] | None = None,
        position: int = 0,
        ttl_s: float | None = None,
    ) -> SessionInfo:
        """Open a session, at `state` (by name, session shape) and the model's initial values.

        Raises ModelNotFound, NotStreamable, InvalidRequest where a state is missing, SessionExists
        (with the session), SessionLimit.
        """
        loaded = self._catalog.get(model, version)
        require_streamable(loaded)
        row = start_row(loaded, state, "state")
        key = (tenant, session_id if session_id is not None else secrets.token_hex(16))
        record = self._opener.record(key, loaded, row, position, ttl_s)
        taken = await self._opener.create([record])
        if taken:
            info = self._info(taken[0].meta, len(taken[0].state))
            raise SessionExists(f"the session {key[1]!r} exists already", session=_fields(info))
        return self._info(record.meta, len(row))

    async def info(
        self, tenant: str, session_id: str, *, deadline: float | None = None
    ) -> SessionInfo:
        """The session, once the step that is running is done."""
        async with self._hold(tenant, session_id, deadline) as held:
            return self._info(held.record.meta, len(held.record.state))

    async def resume(self, tenant: str, session_id: str) -> Resume:
        """Where a stream of the session begins, once the step that is running is done."""
        async with self._hold(tenant, session_id, None) as held:
            meta = held.record.meta
            info = self._info(meta, len(held.record.state))
            return Resume(info=info, meta=meta, loaded=held.session.loaded)

    async def page(
        self, tenant: str, *, model: str | None = None, limit: int = 100, after: str | None = None
    ) -> SessionPage:
        """Live sessions in order of id, `limit` at most, those that follow `after`."""
        live: list[tuple[SessionMeta, int]] = []
        more = True
        while more and len(live) <= limit:
            found = await self.store.page(tenant, model, after, limit + 1, self._clock())
            live += [each for each in found if not each[0].ended]
            more = len(found) > limit
            after = found[-1][0].id if more else None
        infos = tuple(self._info(meta, nbytes) for meta, nbytes in live[:limit])
        return SessionPage(sessions=infos, next=infos[-1].session_id if live[limit:] else None)

    async def read_state(
        self, tenant: str, session_id: str, *, deadline: float | None = None
    ) -> StateRead:
        """The state by name, in session shape, read-only, and the tag of its revision."""
        async with self._hold(tenant, session_id, deadline) as held:
            meta, state = held.record.meta, held.record.state
            values = held.session.loaded.layout.unpack(state)
            return StateRead(position=meta.position, state=values, etag=etag(meta))

    async def write_state(
        self,
        tenant: str,
        session_id: str,
        state: Mapping[str, Array],
        position: int,
        *,
        if_match: str | None = None,
        deadline: float | None = None,
    ) -> SessionInfo:
        """Set the state and its position; the recorded replies are forgotten.

        Raises PreconditionFailed if `if_match` (the header's text) names other revisions only.
        """
        async with self._hold(tenant, session_id, deadline) as held:
            row = held.session.loaded.layout.pack(state)
            meta = await self._writer.overwrite(held, row, position, if_match)
            return self._info(meta, len(row))

    async def reset(
        self,
        tenant: str,
        session_id: str,
        *,
        if_match: str | None = None,
        deadline: float | None = None,
    ) -> SessionInfo:
        """Back to position 0 and initial values, but for what never changes. Raises as
        `write_state`.
        """
        async with self._hold(tenant, session_id, deadline) as held:
            row = restart_row(held.session.loaded, held.record.state)
            meta = await self._writer.overwrite(held, row, 0, if_match)
            return self._info(meta, len(row))

    async def fork(
        self,
        tenant: str,
        session_id: str,
        *,
        session_ids: Sequence[str] | None = None,
        count: int | None = None,
        ttl_s: float | None = None,
        deadline: float | None = None,
    ) -> Fork:
        """Copy state and position into new sessions, all or none; the recorded replies stay behind.

        Raises SessionExists with those of `session_ids` that are taken, SessionLimit.
        """
        ids = session_ids or [secrets.token_hex(16) for _ in range(count or 1)]
        if len(set(ids)) < len(ids):
            raise InvalidRequest("session_ids names an id twice; expected ids that differ")
        async with self._hold(tenant, session_id, deadline) as held:
            loaded, source = held.session.loaded, held.record
            lives_s = ttl_s if ttl_s is not None else source.meta.identity.ttl_s
            at = source.meta.position
            records = [
                self._opener.record((tenant, each), loaded, source.state, at, lives_s)
                for each in ids
            ]
            taken = await self._opener.create(records)
        if taken:
            infos = [_fields(self._info(each.meta, len(each.state))) for each in taken]
            raise SessionExists(f"{len(taken)} of the ids are taken", sessions=list(infos))
        sessions = tuple(self._info(each.meta, len(each.state)) for each in records)
        return Fork(position=source.meta.position, sessions=sessions)

    async def delete(
        self,
        tenant: str,
        session_id: str,
        *,
        if_match: str | None = None,
        deadline: float | None = None,
    ) -> None:
        """End a session; its id may be opened again. Raises PreconditionFailed.

        Also one whose model is gone or that is damaged: nothing else can be done with it, and it
        takes up room.
        """
        key = (tenant, session_id)
        try:
            async with self._hold(tenant, session_id, deadline) as held:
                await self._writer.delete_held(held, if_match)
        except (ModelMismatch, StateCorrupt):
            await self._writer.delete(key, await self.store.load(key), if_match)

    async def sweep(self) -> None:
        """Give up idle sessions in memory, bury those that expired a while ago, and forget old
        tombstones; call it now and then. By a clock that may be wrong nothing is taken away.
        """
        now = self._clock()
        resident = self.cache.resident
        while True:
            if not resident.retire_idle(now, IDLE_S, _AT_ONCE):
                break
            await asyncio.sleep(0)
        if not self._clock.is_settled:
            return
        buried_before = now - self._tombstone_s
        if buried_before < self._clock.floor:
            # How old tombstones of before are, nobody knows.
            buried_before = -math.inf
        keys = await self.store.expire(now - SWEEP_GRACE_S, buried_before)
        for key in keys:
            session = self.cache.resident.get(key)
            if session is not None and not session.busy:
                self.cache.resident.drop(session)
        now = self._clock()
        await self.store.straighten(now, now + self._max_ttl_s + SWEEP_GRACE_S)

    def _hold(
        self, tenant: str, session_id: str, deadline: float | None
    ) -> AbstractAsyncContextManager[HeldSession]:
        until = deadline if deadline is not None else time.monotonic() + self._deadline_s
        return self.cache.hold(tenant, session_id, until)

    def _info(self, meta: SessionMeta, state_bytes: int) -> SessionInfo:
        served = self._catalog.successor(meta.model, meta.version, meta.state_id)
        return SessionInfo(
            session_id=meta.id,
            model=meta.model,
            version=served.version if served is not None else meta.version,
            state_id=meta.state_id,
            position=meta.position,
            created_at=meta.identity.created_at,
            last_used_at=meta.used_at,
            expires_at=self._clock.end_of(meta),
            state_bytes=state_bytes,
        )


def _fields(info: SessionInfo) -> dict[str, object]:
    return {name: getattr(info, name) for name in SessionInfo.__dataclass_fields__}
