"""From a key to a session in memory, and the turn on it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from carousel.service.engine.catalog import Catalog
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import (
    CarouselError,
    ModelMismatch,
    QueueFull,
    SessionExpired,
    SessionNotFound,
    StateCorrupt,
    StoreUnavailable,
)
from carousel.service.sessions.clock import Clock
from carousel.service.sessions.deadline import within
from carousel.service.sessions.resident_sessions import ResidentSessions
from carousel.service.sessions.session import Session
from carousel.service.sessions.session_record import Key, SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Damaged, Found, Store, Tombstone


@dataclass(slots=True)
class HeldSession:
    """A session whose turn the caller has, and its record as the store has it."""

    session: Session
    record: SessionRecord


class SessionCache:
    """Finds sessions in memory or in the store, and says whose turn it is. Owned by the event loop.

    `max_waiting`: how many requests may wait for their turn.
    """

    def __init__(self, store: Store, catalog: Catalog, clock: Clock, *, max_waiting: int) -> None:
        self.resident = ResidentSessions()
        self.store = store
        self.catalog = catalog
        self.clock = clock
        self._max_waiting = max_waiting
        self._num_waiting = 0
        self._loads: dict[Key, asyncio.Future[Found]] = {}

    def __repr__(self) -> str:
        return f"<SessionCache {self.resident!r} waiting={self._num_waiting}>"

    def peek(self, tenant: str, session_id: str) -> Session | None:
        """The session if it is in memory and may be used; `find` decides about all others."""
        session = self.resident.get((tenant, session_id))
        if session is None or session.busy:
            return session
        if session.loaded.retired or self.clock.has_ended(session.meta):
            return None
        return session

    async def find(self, tenant: str, session_id: str) -> Session:
        """The session, loaded if need be. Raises SessionNotFound, SessionExpired, ModelMismatch."""
        while True:
            session = self.peek(tenant, session_id)
            if session is not None:
                return session
            earlier = self._loads.get((tenant, session_id))
            if earlier is None:
                found: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
                self.fetch(tenant, session_id, partial(_tell, found))
                return await found
            await asyncio.wait({earlier})

    def fetch(
        self, tenant: str, session_id: str, then: Callable[[Session | Exception], None]
    ) -> None:
        """`find` for a caller without a task: `then` is called with the session or the error, later
        and on the loop.

        The store is asked for a key once at a time: what a second question is answered must not be
        older than the session that came of the first, which may have stepped and left memory again
        by then. Nor do two share an answer: one who came later may know of a write that it lacks.
        """
        key = (tenant, session_id)
        earlier = self._loads.get(key)
        if earlier is None:
            load = self._loads[key] = asyncio.ensure_future(self.store.load(key))
            load.add_done_callback(lambda load: then(self._loaded(key, load)))
            return

        def look_again(_: "asyncio.Future[Found]") -> None:
            session = self.peek(tenant, session_id)
            if session is None:
                self.fetch(tenant, session_id, then)
            else:
                then(session)

        earlier.add_done_callback(look_again)

    def _loaded(self, key: Key, load: "asyncio.Future[Found]") -> Session | Exception:
        """What came of asking the store, before anybody else learns that it has answered."""
        del self._loads[key]
        if load.cancelled():
            return StoreUnavailable("the service ends")
        try:
            return self._take_in(key, load.result())
        except Exception as error:
            return error

    def _take_in(self, key: Key, record: Found) -> Session:
        """The session of a key that the store was asked for."""
        # Meanwhile somebody else may have loaded it.
        session = self.peek(*key)
        if session is not None:
            return session
        stale = self.resident.get(key)
        if stale is not None:
            self.resident.drop(stale)
        live = self.require_live(record, key[1])
        session = Session(live.meta, self._fitting(live), live.state)
        self.resident.add(session)
        return session

    def require_live(self, record: Found, session_id: str) -> SessionRecord:
        """The record itself; raises SessionExpired, SessionNotFound or StateCorrupt where there is
        none to use.
        """
        if record is None:
            raise SessionNotFound(f"there is no session {session_id!r}")
        if isinstance(record, SessionRecord) and record.meta.ended:
            raise SessionNotFound(f"there is no session {session_id!r}: its last step ended it")
        if isinstance(record, Damaged):
            raise StateCorrupt(
                f"what the store holds of session {session_id!r} is damaged",
                hint="delete the session and open it again; its id is free then",
            )
        if isinstance(record, Tombstone) or self.clock.has_ended(record.meta):
            raise SessionExpired(
                f"session {session_id!r} was idle for longer than its time to live",
                hint="open it again; its id is free",
            )
        return record

    def successor(self, meta: SessionMeta) -> LoadedModel:
        """The model that a stored session goes on with; raises ModelMismatch if none fits its
        state.
        """
        loaded = self.catalog.successor(meta.model, meta.version, meta.state_id)
        if loaded is None:
            raise ModelMismatch(
                f"the session's state belongs to {meta.model}/{meta.version}, which is not served "
                "any more, and no other version has the same weights"
            )
        return loaded

    def queue(self, session: Session, deadline: float) -> "asyncio.Future[None]":
        """The turn on a busy session, once those before are done (monotonic `deadline`). Raises
        QueueFull; DeadlineExceeded comes of it.
        """
        if self._num_waiting >= self._max_waiting:
            raise QueueFull(f"{self._max_waiting} requests wait for their session already")
        self._num_waiting += 1
        turn = session.queue(deadline)
        turn.add_done_callback(self._waited)
        return turn

    def _waited(self, turn: "asyncio.Future[None]") -> None:
        self._num_waiting -= 1

    async def enter(self, session: Session, deadline: float) -> None:
        """Wait for the turn on a session. Raises DeadlineExceeded, QueueFull.

        Whoever comes back from here calls `leave`, also when the session was dropped meanwhile.
        """
        if not session.busy:
            self.resident.wake(session)
            return
        turn = self.queue(session, deadline)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # It was given in the moment that its client went away.
                self.leave(session)
            raise

    def leave(self, session: Session) -> None:
        """Pass the turn on."""
        self.resident.rest(session)

    def give_up(self, session: Session) -> None:
        """Pass the turn on, on a session that is to be looked up again."""
        self.resident.drop(session)
        self.leave(session)

    async def claim(self, session: Session, deadline: float) -> Session:
        """The turn on a key: on the session that is in memory or, where there is none, on
        `session`, which then stands for the key. Raises and obliges as `enter`.
        """
        while True:
            known = self.resident.get(session.meta.key)
            if known is None:
                self.resident.add(session)
                self.resident.wake(session)
                return session
            await self.enter(known, deadline)
            if not known.dropped:
                return known
            self.leave(known)

    async def reload(self, session: Session) -> SessionRecord:
        """The record as the store has it, read on the session's own turn. Raises as `set_to`."""
        return self.set_to(session, await self.store.load(session.meta.key))

    def set_to(self, session: Session, found: Found) -> SessionRecord:
        """What the store was found to hold, on the session's own turn; the session is set to it.

        Raises SessionNotFound, SessionExpired, StateCorrupt, ModelMismatch; the session is dropped
        then.
        """
        try:
            live = self.require_live(found, session.id)
            if live.meta.revision != session.meta.revision:
                self.adopt(session, live)
        except CarouselError:
            self.resident.drop(session)
            raise
        return live

    def adopt(self, session: Session, record: SessionRecord) -> None:
        """What the store holds becomes the session's own; it may be of another model. Raises
        ModelMismatch or StateCorrupt.
        """
        loaded = self._fitting(record)
        self.resident.free_slot(session)
        session.loaded = loaded
        session.meta = record.meta
        session.row = record.state

    def _fitting(self, record: SessionRecord) -> LoadedModel:
        """The model that a record goes on with; raises ModelMismatch or StateCorrupt."""
        loaded = self.successor(record.meta)
        if len(record.state) != loaded.layout.nbytes:
            session_id = record.meta.id
            raise StateCorrupt(f"the stored state of session {session_id!r} has the wrong size")
        return loaded

    @asynccontextmanager
    async def hold(
        self, tenant: str, session_id: str, deadline: float
    ) -> AsyncIterator[HeldSession]:
        """The turn on a session for calls other than steps; all of them judge by the store's
        record.
        """
        while True:
            session = await within(deadline, self.find(tenant, session_id), "its session")
            await self.enter(session, deadline)
            if not session.dropped:
                break
            self.leave(session)
        try:
            yield HeldSession(session, await self.reload(session))
        finally:
            self.leave(session)


def _tell(future: "asyncio.Future[Session]", found: Session | Exception) -> None:
    if future.done():
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)
