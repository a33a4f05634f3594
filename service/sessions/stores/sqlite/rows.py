"""Sessions as rows of an SQLite connection: what the store's threads read and write.

Nothing here begins or ends a transaction. Every statement is run to its end (`get`, `fetchall`):
one that is left half way keeps its transaction open. Damage that SQLite itself finds comes out of
the writing methods as apsw.CorruptError, for the caller to find the row at fault.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import apsw

from carousel.service.errors import StateCorrupt
from carousel.service.sessions.session_record import Key, SessionIdentity, SessionMeta
from carousel.service.sessions.stores.base import Damaged, Found, Outcome, Tombstone, Write
from carousel.service.sessions.stores.sealed import (
    Damage,
    SealedMeta,
    restamp,
    seal,
    unseal,
    unseal_meta,
)

log = logging.getLogger("carousel.store")

_UPDATE = "UPDATE session SET revision = ?, head = ?, state = ? WHERE id = ? AND revision = ?"
_END = "UPDATE session SET due = ?, revision = ?, head = ?, state = ? WHERE id = ? AND revision = ?"
_REPLACE = (
    "UPDATE session SET model = ?, due = ?, revision = ?, head = ?, state = ? "
    "WHERE tenant = ? AND name = ? AND revision = ? RETURNING id"
)
_INSERT = (
    "INSERT INTO session (tenant, name, model, due, revision, head, state) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_UNBURY = "DELETE FROM tombstone WHERE tenant = ? AND name = ?"
# A flipped bit can make a text or nothing of what was bytes, so what is read is asked for as bytes.
_BYTES = "coalesce(CAST({} AS BLOB), x'')".format
_REVISION = f"SELECT {_BYTES('revision')} FROM session WHERE tenant = ? AND name = ?"
_LOAD = (
    f"SELECT id, {_BYTES('revision')}, {_BYTES('head')}, {_BYTES('state')}, typeof(revision) "
    "FROM session WHERE tenant = ? AND name = ?"
)
_TOMBSTONE = "SELECT expired_at FROM tombstone WHERE tenant = ? AND name = ?"
_DELETE = f"DELETE FROM session WHERE tenant = ? AND name = ? AND {_BYTES('revision')} = ?"
# Both are answered from an index alone, so that a damaged row stops nobody who only passes it.
_NAMES = (
    f"SELECT id, {_BYTES('name')} FROM session WHERE tenant = ? AND name > ? ORDER BY name LIMIT ?"
)
_NAMES_OF_MODEL = (
    f"SELECT id, {_BYTES('name')} FROM session "
    "WHERE tenant = ? AND model = ? AND name > ? ORDER BY name LIMIT ?"
)
_DUE = "SELECT id, due FROM session WHERE (due, id) > (?, ?) AND due <= ? ORDER BY due, id LIMIT ?"
_HEAD = f"SELECT {_BYTES('revision')}, {_BYTES('head')} FROM session WHERE id = ?"
_POSTPONE = "UPDATE session SET due = ? WHERE id = ?"
_STAMP = "UPDATE session SET due = ?, head = ? WHERE id = ? AND revision = ?"
_REMOVE = "DELETE FROM session WHERE id = ?"
_BURY = "INSERT OR REPLACE INTO tombstone (tenant, name, expired_at) VALUES (?, ?, ?)"
_FORGET = (
    "DELETE FROM tombstone WHERE (tenant, name) IN "
    "(SELECT tenant, name FROM tombstone WHERE expired_at <= ? LIMIT ?)"
)
_FORGET_LATER = (
    "UPDATE tombstone SET expired_at = ? WHERE (tenant, name) IN "
    "(SELECT tenant, name FROM tombstone WHERE expired_at > ? LIMIT ?)"
)


class SessionRows:
    """The tables through one connection; used by one thread at a time."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self._cursor = connection.cursor()
        self._places: list[tuple[SessionIdentity, int]] = []

    def __repr__(self) -> str:
        return f"<SessionRows changes={self.connection.total_changes()}>"

    def renew(self) -> None:
        """Begin with a fresh cursor, whatever the last one was in the middle of."""
        self._cursor.close(True)
        self._cursor = self.connection.cursor()
        self._places.clear()

    def keep_places(self) -> None:
        """The transaction counts: where its new rows are, is where they are found from now on."""
        for identity, place in self._places:
            identity.place = place
        self._places.clear()

    def put_all(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        """Write each row by compare-and-set; `atomic`: all of them or none."""
        if atomic:
            outcomes = [self._foresee(write) for write in writes]
            if any(outcome is not Outcome.WRITTEN for outcome in outcomes):
                return outcomes
        elif len(writes) > 1 and all(map(_is_plain_step, writes)):
            return self._step_all(writes)
        return [self.put(write) for write in writes]

    def _step_all(self, writes: Sequence[Write]) -> list[Outcome]:
        """Many steps in one call; between two calls other threads fight for the interpreter."""
        before = self.connection.total_changes()
        self._cursor.executemany(_UPDATE, map(_step_values, writes))
        if self.connection.total_changes() - before == len(writes):
            return [Outcome.WRITTEN] * len(writes)
        outcomes: list[Outcome] = []
        for write in writes:
            meta = write.record.meta
            is_there = self._cursor.execute(_REVISION, meta.key).get == meta.revision
            outcomes.append(Outcome.WRITTEN if is_there else self._missed(meta.key))
        return outcomes

    def put(self, write: Write) -> Outcome:
        """Write a row by compare-and-set."""
        record = write.record
        meta = record.meta
        identity = meta.identity
        if write.base is None:
            return self._insert(meta, seal(record), record.state)
        if identity.place:
            if meta.ended:
                # What is left of it goes sooner than the session would have.
                self._cursor.execute(_END, (meta.expires_at, *_step_values(write)))
            else:
                self._cursor.execute(_UPDATE, _step_values(write))
            return Outcome.WRITTEN if self.connection.changes() else self._missed(meta.key)
        sealed = seal(record)
        values = (meta.model, meta.expires_at, meta.revision, sealed, record.state)
        place = self._cursor.execute(_REPLACE, (*values, *meta.key, write.base)).get
        if place is None:
            return self._missed(meta.key)
        self._places.append((identity, place))
        return Outcome.WRITTEN

    def find(self, key: Key) -> Found:
        """The session, its tombstone, or what is left of it; raises StateCorrupt if nothing of it
        can be read.
        """
        try:
            row = self._cursor.execute(_LOAD, key).get
            if row is None:
                expired_at = self._cursor.execute(_TOMBSTONE, key).get
                return None if expired_at is None else Tombstone(expired_at)
        except apsw.CorruptError:
            return self._find_damaged(key)
        place, revision, meta, state, kind = row
        try:
            record = unseal(revision, meta, state)
        except Damage:
            return Damaged(revision)
        # A revision that became text reads the same, and equals none that a step could name.
        if record.meta.key != key or kind != "blob":
            return Damaged(revision)
        record.meta.identity.place = place
        return record

    def delete(self, key: Key, base: bytes) -> Outcome:
        self._cursor.execute(_DELETE, (*key, base))
        return Outcome.WRITTEN if self.connection.changes() else self._missed(key)

    @contextmanager
    def mending(self) -> Iterator[None]:
        """Change rows that SQLite would not touch, since the indexes know them otherwise; the
        indexes are then made anew.
        """
        self._cursor.execute("PRAGMA writable_schema = ON").fetchall()
        try:
            yield
            self._cursor.execute("REINDEX session").fetchall()
        finally:
            self._cursor.execute("PRAGMA writable_schema = OFF").fetchall()

    def names(
        self, tenant: str, model: str | None, after: str, limit: int
    ) -> list[tuple[int, str]]:
        """Places and ids of a tenant's sessions, in order of id."""
        if model is None:
            found = self._cursor.execute(_NAMES, (tenant, after, limit))
        else:
            found = self._cursor.execute(_NAMES_OF_MODEL, (tenant, model, after, limit))
        rows = cast(list[tuple[int, bytes]], found.fetchall())
        return [(place, name.decode(errors="replace")) for place, name in rows]

    def meta(self, place: int) -> SealedMeta | None:
        """The metadata of the session at a place; None if there is none any more. Raises Damage."""
        try:
            row = self._cursor.execute(_HEAD, (place,)).get
        except apsw.CorruptError as error:
            raise Damage("SQLite cannot read it") from error
        return None if row is None else unseal_meta(*row)

    def due(self, after: tuple[float, int], until: float, limit: int) -> list[tuple[int, float]]:
        """Places of sessions that may have expired by `until`, and the times they were due."""
        found = self._cursor.execute(_DUE, (*after, until, limit)).fetchall()
        return cast(list[tuple[int, float]], found)

    def bury(self, place: int, meta: SessionMeta, expired_at: float) -> None:
        """Turn a session into a tombstone, or what is left of an ended one into nothing."""
        self._cursor.execute(_REMOVE, (place,))
        if not meta.ended:
            self._cursor.execute(_BURY, (*meta.key, expired_at))

    def postpone(self, place: int, due: float) -> None:
        """Look at a session again when it is due."""
        self._cursor.execute(_POSTPONE, (due, place))

    def forget(self, buried_before: float, limit: int) -> int:
        """Drop tombstones; returns how many."""
        self._cursor.execute(_FORGET, (buried_before, limit))
        return self.connection.changes()

    def stamp(self, place: int, sealed: SealedMeta, used_at: float) -> None:
        """Say of a session that it was used at a time, and nothing else."""
        meta = sealed.meta
        values = (used_at + meta.lives_s, restamp(sealed, used_at), place, meta.revision)
        self._cursor.execute(_STAMP, values)

    def forget_later(self, now: float, limit: int) -> int:
        """Let tombstones that lie ahead be of now; returns how many."""
        self._cursor.execute(_FORGET_LATER, (now, now, limit))
        return self.connection.changes()

    def _insert(self, meta: SessionMeta, sealed: bytes, state: bytes) -> Outcome:
        values = (*meta.key, meta.model, meta.expires_at, meta.revision, sealed, state)
        self._cursor.execute(_INSERT, values)
        if not self.connection.changes():
            return Outcome.LOST
        self._places.append((meta.identity, self.connection.last_insert_rowid()))
        self._cursor.execute(_UNBURY, meta.key)
        return Outcome.WRITTEN

    def _foresee(self, write: Write) -> Outcome:
        revision = self._cursor.execute(_REVISION, write.record.meta.key).get
        if revision is None:
            return Outcome.WRITTEN if write.base is None else Outcome.GONE
        return Outcome.WRITTEN if revision == write.base else Outcome.LOST

    def _missed(self, key: Key) -> Outcome:
        return Outcome.GONE if self._cursor.execute(_REVISION, key).get is None else Outcome.LOST

    def _find_damaged(self, key: Key) -> Damaged:
        try:
            revision = self._cursor.execute(_REVISION, key).get
        except apsw.CorruptError:
            revision = None
        if revision is None:
            raise StateCorrupt(
                f"the store's file is damaged where session {key[1]!r} would be",
                hint="with the service stopped, carousel-sessions check FILE says what is left, "
                "and with --remove-damaged makes the ids free again",
            )
        return Damaged(revision)


def _is_plain_step(write: Write) -> bool:
    """Whether it changes a row whose place is known and nothing about when it is due."""
    meta = write.record.meta
    return write.base is not None and meta.identity.place > 0 and not meta.ended


def _step_values(write: Write) -> tuple[bytes, bytes, bytes, int, bytes | None]:
    """What `_UPDATE` is bound to."""
    record = write.record
    meta = record.meta
    return meta.revision, seal(record), record.state, meta.identity.place, write.base
