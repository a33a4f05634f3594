"""The sessions that are in memory: a cache in front of the store, bounded by the pools.

A session is here while it is busy, while it has a slot, or for a short while after it was loaded.
One that is idle for long enough leaves, whether its slot is needed or not.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

from carousel.service.engine.engine import Engine
from carousel.service.engine.request import NO_SLOT
from carousel.service.sessions.session import Session
from carousel.service.sessions.session_record import Key, SessionRecord

_MAX_LOOSE = 1024
# Small replies are in what the pools reckon for a session. One of a whole sequence may have a
# mebibyte: of sessions with such replies only the last used stay in memory.
_HEAVY_BYTES = 8192
MAX_HEAVY_BYTES = 64 << 20


class ResidentSessions:
    """Finds sessions by key; idle ones are given up least recently used first, when slots run
    out.
    """

    def __init__(self) -> None:
        self._sessions: dict[Key, Session] = {}
        # Idle sessions by engine, least recently used first: those with a slot, and those without.
        self._resting: dict[Engine, OrderedDict[Session, None]] = {}
        self._loose: OrderedDict[Session, None] = OrderedDict()
        # Those of both that keep large replies.
        self._heavy: OrderedDict[Session, int] = OrderedDict()
        self._heavy_bytes = 0

    def __repr__(self) -> str:
        return f"<ResidentSessions sessions={len(self._sessions)} loose={len(self._loose)}>"

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, key: Key) -> Session | None:
        """The session of a key, if it is in memory."""
        return self._sessions.get(key)

    def add(self, session: Session) -> None:
        """Take in a session that was loaded, idle and without a slot."""
        assert session.meta.key not in self._sessions
        self._sessions[session.meta.key] = session
        self._weigh(session)
        self._loosen(session)

    def wake(self, session: Session) -> None:
        """An idle session becomes busy."""
        session.busy = True
        if self._heavy:
            self._heavy_bytes -= self._heavy.pop(session, 0)
        if session.slot == NO_SLOT:
            self._loose.pop(session, None)
        else:
            self._resting[session.loaded.engine].pop(session, None)

    def rest(self, session: Session) -> None:
        """A busy session passes its turn on; without anyone waiting it is idle."""
        session.pass_turn()
        if session.busy or session.dropped:
            return
        if session.loaded.retired:
            # Its engine was forgotten, and nothing must lead to it any more.
            self.drop(session)
            return
        self._weigh(session)
        if session.slot == NO_SLOT:
            self._loosen(session)
            return
        engine = session.loaded.engine
        resting = self._resting.get(engine)
        if resting is None:
            resting = self._resting[engine] = OrderedDict()
            engine.reclaim = lambda: self._reclaim(engine)
        resting[session] = None

    def drop(self, session: Session) -> None:
        """Forget a session, busy or idle; its slot is free, its truth is in the store."""
        if session.dropped:
            return
        session.dropped = True
        self._sessions.pop(session.meta.key, None)
        self._heavy_bytes -= self._heavy.pop(session, 0)
        self._loose.pop(session, None)
        engine = session.loaded.engine
        if engine in self._resting:
            self._resting[engine].pop(session, None)
        self.free_slot(session)

    def move(self, session: Session, slot: int, row: bytes | None) -> None:
        """Point the session at the fresh slot that its step has filled; `row` is what is in it.

        A session that had none keeps it only if another slot is free or can be had from an idle
        session: of sessions that hold every slot of the pool, none could ever step again.
        """
        engine = session.loaded.engine
        before, session.slot, session.row = session.slot, slot, None
        if before != NO_SLOT:
            engine.release(before)
        elif engine.slots.is_full and (engine.is_starved or not engine.reclaim()):
            session.slot, session.row = NO_SLOT, row
            engine.release(slot)

    def move_all(
        self, sessions: Sequence[Session], slots: Sequence[int], records: Iterable[SessionRecord]
    ) -> None:
        """The same for sessions of one model, whose new metadata the records have."""
        engine = sessions[0].loaded.engine
        left: list[int] = []
        for session, slot, record in zip(sessions, slots, records, strict=True):
            session.meta = record.meta
            if session.slot == NO_SLOT:
                self.move(session, slot, record.state)
            else:
                left.append(session.slot)
                session.slot = slot
        for slot in left:
            engine.release(slot)

    def free_slot(self, session: Session) -> None:
        """Take the slot away from a session that has one."""
        slot, session.slot = session.slot, NO_SLOT
        if slot != NO_SLOT:
            session.loaded.engine.release(slot)

    def retire_idle(self, now: float, idle_s: float, limit: int) -> bool:
        """Give up sessions that nobody has used for so long, `limit` at most; False when none is
        left. What is idle takes room in the store alone. (A use that lies as far ahead was stamped
        by a clock that has been set back since.)
        """
        for idle in (self._loose, *self._resting.values()):
            while idle:
                session = next(iter(idle))
                if abs(now - session.meta.used_at) < idle_s:
                    break
                if limit == 0:
                    return True
                self.drop(session)
                limit -= 1
        return False

    def forget_engine(self, engine: Engine) -> None:
        """Drop the idle sessions of a model that is no longer served."""
        for session in list(self._resting.pop(engine, ())):
            self.drop(session)

    def _weigh(self, session: Session) -> None:
        """Note an idle session with large replies; those used longest ago leave for it."""
        size = len(session.meta.replies)
        if size <= _HEAVY_BYTES:
            return
        # A single one is never too much.
        self._heavy[session] = size
        self._heavy_bytes += size
        while self._heavy_bytes > MAX_HEAVY_BYTES:
            self.drop(next(iter(self._heavy)))

    def _loosen(self, session: Session) -> None:
        self._loose[session] = None
        if len(self._loose) > _MAX_LOOSE:
            self.drop(next(iter(self._loose)))

    def _reclaim(self, engine: Engine) -> bool:
        """Free the slot of the session that has been idle longest; False when none is idle."""
        resting = self._resting.get(engine)
        if not resting:
            return False
        session, _ = resting.popitem(last=False)
        session.dropped = True
        self._sessions.pop(session.meta.key, None)
        self._heavy_bytes -= self._heavy.pop(session, 0)
        # Not `release`: the engine that asks takes the slot itself.
        engine.slots.give(session.slot)
        session.slot = NO_SLOT
        return True
