"""Everything that can still be read of a session file, wherever SQLite or a checksum finds damage.

A table and each of its indexes are trees of their own, and damage to one leaves the others whole.
So sessions are looked for in all of them, and then read by their place.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import apsw

from carousel.service.sessions.session_record import Key, SessionRecord
from carousel.service.sessions.stores.sealed import Damage, unseal
from carousel.service.sessions.stores.sqlite.rows import SessionRows

# Everything as bytes: what a flipped bit made of a text or its type need not be text any more.
_KEYS = "SELECT id, CAST(tenant AS BLOB), CAST(name AS BLOB) FROM session "
_PLACES = "SELECT id, NULL, NULL FROM session "
_IN_TABLE = _KEYS + "NOT INDEXED ORDER BY id"
# From both ends: a walk ends where the first damage is.
_EVERYWHERE = (
    _IN_TABLE,
    _IN_TABLE + " DESC",
    _KEYS + "INDEXED BY session_by_name ORDER BY tenant, name",
    _KEYS + "INDEXED BY session_by_name ORDER BY tenant DESC, name DESC",
    _KEYS + "INDEXED BY session_by_model ORDER BY tenant, model, name",
    _KEYS + "INDEXED BY session_by_model ORDER BY tenant DESC, model DESC, name DESC",
    _PLACES + "INDEXED BY session_by_due ORDER BY due",
    _PLACES + "INDEXED BY session_by_due ORDER BY due DESC",
)
_ROW = (
    "SELECT CAST(tenant AS BLOB), CAST(name AS BLOB), CAST(revision AS BLOB), "
    "CAST(head AS BLOB), CAST(state AS BLOB) FROM session WHERE id = ?"
)
_TOMBSTONES = "SELECT tenant, name, expired_at FROM tombstone"
_ENTOMB = "INSERT OR REPLACE INTO tombstone (tenant, name, expired_at) VALUES (?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Lost:
    """A damaged session; `key` is None where not even its name can be read."""

    key: Key | None


class Salvage(SessionRows):
    """Reads past damage, and writes what it read elsewhere."""

    def sessions(self, *, sound: bool) -> Iterator[SessionRecord | Lost]:
        """Every session. `sound`: SQLite finds no fault with the file, so that one walk through the
        table meets them all.
        """
        for place, key in self._walk(_IN_TABLE) if sound else self._known():
            yield self._read(place, key)

    def tombstones(self) -> Iterator[tuple[Key, float]]:
        """Every tombstone; where SQLite finds damage, those before it."""
        with suppress(apsw.CorruptError, UnicodeDecodeError):
            for tenant, name, expired_at in self.connection.execute(_TOMBSTONES):
                if isinstance(expired_at, float):
                    yield (tenant, name), expired_at

    def entomb(self, tombstones: Iterable[tuple[Key, float]]) -> None:
        """Write tombstones."""
        self.connection.executemany(_ENTOMB, ((*key, expired_at) for key, expired_at in tombstones))

    def _known(self) -> Iterable[tuple[int, Key | None]]:
        """Places and keys that the table or any index still knows of."""
        known: dict[int, Key | None] = {}
        for query in _EVERYWHERE:
            with suppress(apsw.CorruptError):
                for place, key in self._walk(query):
                    known[place] = known.get(place) or key
        return sorted(known.items())

    def _walk(self, query: str) -> Iterator[tuple[int, Key | None]]:
        for place, tenant, name in self.connection.execute(query):
            yield place, _key(tenant, name)

    def _read(self, place: int, key: Key | None) -> SessionRecord | Lost:
        try:
            row = self._cursor.execute(_ROW, (place,)).get
        except apsw.CorruptError:
            return Lost(key)
        if row is None or None in row:
            return Lost(key)
        tenant, name, revision, meta, state = row
        key = _key(tenant, name)
        try:
            record = unseal(revision, meta, state)
        except Damage:
            return Lost(key)
        return record if record.meta.key == key else Lost(key)


def _key(tenant: bytes | None, name: bytes | None) -> Key | None:
    if tenant is None or name is None:
        return None
    return tenant.decode(errors="replace"), name.decode(errors="replace")
