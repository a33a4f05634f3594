"""Sessions in this process's memory: the fastest store, and one that a restart empties."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from heapq import heapify, heappop, heappush
from itertools import islice
from threading import Lock

from sortedcontainers import SortedList

from carousel.service.errors import SessionLimit
from carousel.service.sessions.clock import Clock
from carousel.service.sessions.recorded_reply import shed_replies
from carousel.service.sessions.session_record import Key, SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import (
    Done,
    Found,
    Outcome,
    StoreStats,
    Tombstone,
    Write,
)

# What Python's objects take beside the bytes of a state and of recorded replies: 630 to 690 a
# session, which tests/service/sessions/stores/test_memory.py measures again.
_RECORD_BYTES = 650
_MAX_TOMBSTONES = 100_000
_MIN_DUE = 1000
# Sessions that a page looks through before others have their turn.
_PAGE_KEYS = 1000


class MemoryStore:
    """A dict of records behind a lock. It never evicts: when it is full, opening answers 429, and
    of the replies of steps it keeps the very last alone, up to 4 KiB.
    """

    name = "memory"
    shared = False

    def __init__(self, max_bytes: int, clock: Clock | None = None) -> None:
        self.stats = StoreStats()
        self.clock = clock if clock is not None else Clock()
        self._num_set_back = self.clock.num_set_back
        self._max_bytes = max_bytes
        self._nbytes = 0
        self._records: dict[Key, SessionRecord] = {}
        # Their keys, for pages.
        self._order: SortedList[Key] = SortedList()
        self._tombstones: dict[Key, Tombstone] = {}
        # When to look at a session again: a lower bound of its end, which steps move on. Sessions
        # that are gone leave theirs behind.
        self._due: list[tuple[float, Key]] = []
        # Engine threads commit; the event loop does everything else.
        self._lock = Lock()

    def __repr__(self) -> str:
        return f"<MemoryStore sessions={len(self._records)} bytes={self._nbytes}>"

    @property
    def nbytes(self) -> int:
        """Bytes that the sessions take, as the limit counts them."""
        return self._nbytes

    def holds(self, key: Key) -> bool:
        """Whether the session is here; from any thread."""
        return key in self._records

    def commit(self, writes: Sequence[Write], done: Done) -> None:
        """Write the rows of a batch. A step of a live session is never refused for want of room."""
        began = time.perf_counter()
        with self._lock:
            outcomes = [self._write(write) for write in writes]
        self.stats.committed(len(writes), time.perf_counter() - began)
        done(outcomes)

    async def write(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        """Write; raises SessionLimit before anything is written if new sessions do not fit."""
        with self._lock:
            new = sum(_nbytes(write.record) for write in writes if write.base is None)
            if new and self._nbytes + new > self._max_bytes:
                raise SessionLimit(
                    f"the memory store holds {len(self._records)} sessions and is full",
                    hint="delete sessions that are done, or raise CAROUSEL_STORE_BYTES",
                )
            if atomic:
                outcomes = [self._outcome(write) for write in writes]
                if any(outcome is not Outcome.WRITTEN for outcome in outcomes):
                    return outcomes
            return [self._write(write) for write in writes]

    def load(self, key: Key) -> "asyncio.Future[Found]":
        found: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        with self._lock:
            found.set_result(self._records.get(key) or self._tombstones.get(key))
        return found

    async def delete(self, key: Key, base: bytes) -> Outcome:
        with self._lock:
            record = self._records.get(key)
            if record is None:
                return Outcome.GONE
            if record.meta.revision != base:
                return Outcome.LOST
            self._remove(key)
            return Outcome.WRITTEN

    async def page(
        self, tenant: str, model: str | None, after: str | None, limit: int, now: float
    ) -> list[tuple[SessionMeta, int]]:
        found: list[tuple[SessionMeta, int]] = []
        at: Key | None = (tenant, after or "")
        while at is not None and len(found) < limit:
            with self._lock:
                keys = list(islice(self._order.irange(at, inclusive=(False, True)), _PAGE_KEYS))
                records = [self._records[key] for key in keys if key[0] == tenant]
            found += [
                (each.meta, len(each.state))
                for each in records
                if model in (None, each.meta.model) and self.clock.end_of(each.meta) > now
            ]
            at = records[-1].meta.key if len(records) == _PAGE_KEYS else None
            await asyncio.sleep(0)
        return found[:limit]

    async def expire(self, expired_before: float, buried_before: float) -> list[Key]:
        """Bury the expired, oldest tombstones first to go."""
        with self._lock:
            expired = self._take_expired(expired_before)
            for meta in expired:
                if not meta.ended:
                    self._tombstones[meta.key] = Tombstone(self.clock.end_of(meta))
                self._remove(meta.key)
            old = [
                key for key, each in self._tombstones.items() if each.expired_at <= buried_before
            ]
            excess = len(self._tombstones) - len(old) - _MAX_TOMBSTONES
            old += list(self._tombstones)[: max(0, excess)]
            for key in old:
                self._tombstones.pop(key, None)
        return [meta.key for meta in expired if not meta.ended]

    async def straighten(self, now: float, latest: float) -> None:
        """All of it came from this process, whose clock knows if it was set back."""
        if self._num_set_back == self.clock.num_set_back:
            return
        with self._lock:
            self._num_set_back = self.clock.num_set_back
            for key, record in self._records.items():
                meta = record.meta
                if meta.used_at > now and meta.expires_at > latest:
                    meta = replace(meta, used_at=now)
                    self._records[key] = replace(record, meta=meta)
                self._look_again(key, meta.expires_at)
            for key, each in self._tombstones.items():
                if each.expired_at > now:
                    self._tombstones[key] = Tombstone(now)

    async def ping(self) -> None:
        """It is always there."""
        self.clock.look()

    async def close(self) -> None:
        """Nothing to let go of."""

    def _outcome(self, write: Write) -> Outcome:
        record = self._records.get(write.record.meta.key)
        if record is None:
            return Outcome.WRITTEN if write.base is None else Outcome.GONE
        return Outcome.WRITTEN if record.meta.revision == write.base else Outcome.LOST

    def _write(self, write: Write) -> Outcome:
        key = write.record.meta.key
        record = self._records.get(key)
        if record is not None:
            if record.meta.revision != write.base:
                return Outcome.LOST
            self._nbytes -= _nbytes(record)
            if write.record.meta.ended:
                # What is left of it goes sooner than the session would have.
                self._look_again(key, write.record.meta.expires_at)
        elif write.base is not None:
            return Outcome.GONE
        else:
            self._tombstones.pop(key, None)
            self._order.add(key)
            self._look_again(key, write.record.meta.expires_at)
        self._records[key] = write.record
        self._nbytes += _nbytes(write.record)
        if self._nbytes > self._max_bytes:
            self._shed(write.record)
        return Outcome.WRITTEN

    def _shed(self, record: SessionRecord) -> None:
        """There is no room for what a record keeps of earlier steps."""
        self._nbytes -= _nbytes(record)
        # In place: a session in memory has this metadata as well, once it is told.
        record.meta.replies = shed_replies(record.meta.replies)
        self._nbytes += _nbytes(record)

    def _look_again(self, key: Key, due: float) -> None:
        heappush(self._due, (due, key))
        if len(self._due) > 2 * len(self._records) + _MIN_DUE:
            self._due = [(each.meta.expires_at, key) for key, each in self._records.items()]
            self._due.append((due, key))
            heapify(self._due)

    def _take_expired(self, expired_before: float) -> list[SessionMeta]:
        """Sessions that have expired, of those that are due."""
        expired: dict[Key, SessionMeta] = {}
        while self._due and self._due[0][0] <= expired_before:
            _, key = heappop(self._due)
            record = self._records.get(key)
            if record is None:
                continue
            end = self.clock.end_of(record.meta)
            if end <= expired_before:
                expired[key] = record.meta
            else:
                heappush(self._due, (end, key))
        # One that was ended, or deleted and opened again, was due twice.
        return list(expired.values())

    def _remove(self, key: Key) -> None:
        self._order.remove(key)
        self._nbytes -= _nbytes(self._records.pop(key))


def _nbytes(record: SessionRecord) -> int:
    return len(record.state) + len(record.meta.replies) + _RECORD_BYTES
