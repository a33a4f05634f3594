"""Sessions in an SQLite file: durable in one process, without another service to run.

One thread writes: all that comes in while a transaction is under way goes into the next. A second
one reads, and a third checkpoints, each with its own connection (SQLite's write-ahead log lets them
go on beside the writer).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from carousel.service.errors import StateCorrupt, StoreUnavailable
from carousel.service.sessions.clock import Clock
from carousel.service.sessions.session_record import Key, SessionMeta
from carousel.service.sessions.stores.base import Done, Found, Outcome, StoreStats, Write
from carousel.service.sessions.stores.batch_worker import BatchWorker
from carousel.service.sessions.stores.futures import tell
from carousel.service.sessions.stores.read_job import ReadJob
from carousel.service.sessions.stores.sealed import Damage
from carousel.service.sessions.stores.sqlite.checkpointer import Checkpointer
from carousel.service.sessions.stores.sqlite.file import FORMAT, Durability, SqliteFile
from carousel.service.sessions.stores.sqlite.mark import FileMark
from carousel.service.sessions.stores.sqlite.names import Renamed
from carousel.service.sessions.stores.sqlite.reader import SqliteReader
from carousel.service.sessions.stores.sqlite.rows import SessionRows
from carousel.service.sessions.stores.sqlite.writer import SqliteWriter, WriteJob

log = logging.getLogger("carousel.store")

T = TypeVar("T")

# Of the file's pages: the system has them too, at next to no cost.
_READER_KB = 512

# Behind all sessions that are due at a time.
_LAST_PLACE = (1 << 63) - 1
# Rows that a sweep looks at in one transaction: commits of steps wait for no longer than that.
_SWEEP_ROWS = 200


class SqliteStore:
    """One file, owned by this process. Raises SettingError where the file cannot be used.

    `durability`: `process` survives the end of the process, also by SIGKILL; `disk` waits for the
    disk at each commit and survives the machine's end as well.
    """

    name = "sqlite"
    shared = False

    def __init__(
        self, path: Path, *, durability: Durability = "process", clock: Clock | None = None
    ) -> None:
        self.stats = StoreStats()
        self.clock = clock if clock is not None else Clock()
        self._file = SqliteFile(path, durability)
        self._reader = SqliteReader(self._file.connect(_READER_KB))
        self._writer = SqliteWriter(self._file.connect(), self.stats)
        self._mark = FileMark(self._writer.connection, self._file.path)
        # Until something is written, nobody else would find out.
        self._writer.failing = not self._mark.put()
        self._checkpointer = Checkpointer(
            self._file.connect(), self._writer, self._mark, self._file.path
        )
        self._writing = BatchWorker("store writer", self._writer.handle)
        self._reading = BatchWorker("store reader", self._reader.handle)
        self._renamed: Renamed | None = None
        self._asked: list[ReadJob[SessionRows]] = []

    def __repr__(self) -> str:
        return f"<SqliteStore {self._file!r} commits={self.stats.commits}>"

    def commit(self, writes: Sequence[Write], done: Done) -> None:
        """Write the rows of a batch in the next transaction."""
        settle = cast(Callable[[object], None], done)
        self._writing.put(WriteJob(partial(SessionRows.put_all, writes=writes), settle, writes))

    async def write(self, writes: Sequence[Write], *, atomic: bool = False) -> list[Outcome]:
        return await self._change(
            partial(SessionRows.put_all, writes=writes, atomic=atomic),
            writes if len(writes) == 1 else (),
        )

    def load(self, key: Key) -> "asyncio.Future[Found]":
        """The session as the last transaction left it."""
        return self._ask(partial(SessionRows.find, key=key))

    async def delete(self, key: Key, base: bytes) -> Outcome:
        try:
            return await self._change(lambda rows: rows.delete(key, base))
        except StateCorrupt:
            return await self._change(partial(_delete_damaged, key=key, base=base))

    async def page(
        self, tenant: str, model: str | None, after: str | None, limit: int, now: float
    ) -> list[tuple[SessionMeta, int]]:
        """Live sessions in order of id; damaged ones are left out and logged."""
        found: list[tuple[SessionMeta, int]] = []
        at = after or ""
        while len(found) < limit:
            wanted = limit - len(found)
            metas, at = await self._ask(
                partial(_metas, tenant=tenant, model=model, after=at, limit=wanted)
            )
            found += [each for each in metas if self.clock.end_of(each[0]) > now]
            if not at:
                break
        return found

    async def expire(self, expired_before: float, buried_before: float) -> list[Key]:
        """Bury the expired a few at a time, so that commits go on between."""
        buried: list[Key] = []
        at: tuple[float, int] | None = (float("-inf"), 0)
        while at is not None:
            after = at
            try:
                keys, at = await self._change(self._burial(after, expired_before, _SWEEP_ROWS))
            except StateCorrupt:
                keys, at = await self._expire_one(after, expired_before)
            buried += keys
        while await self._change(lambda rows: rows.forget(buried_before, _SWEEP_ROWS)):
            pass
        return buried

    async def _expire_one(
        self, after: tuple[float, int], expired_before: float
    ) -> tuple[list[Key], tuple[float, int] | None]:
        """The next session alone, where one of many is damaged; that one is passed by."""
        found = await self._ask(lambda rows: rows.due(after, expired_before, 1))
        if not found:
            return [], None
        place, due = found[0]
        sweep = self._burial(after, expired_before, 1)
        for attempt in (sweep, partial(_mending, run=sweep)):
            with suppress(StateCorrupt):
                return (await self._change(attempt))[0], (due, place)
        return [], (due, place)

    async def straighten(self, now: float, latest: float) -> None:
        """The index of when sessions are due tells at once that there is nothing to do."""
        at: tuple[float, int] | None = (latest, _LAST_PLACE)
        while at is not None:
            end_of = self.clock.end_of
            run = partial(_straighten, after=at, now=now, latest=latest, end_of=end_of)
            at = await self._change(run)
        while await self._change(lambda rows: rows.forget_later(now, _SWEEP_ROWS)):
            pass

    async def ping(self) -> None:
        """Raises StoreUnavailable if the file cannot be read or, after a failure, written."""
        self.clock.look()
        await self._check_name()
        if self._writer.failing:
            await self._change(lambda rows: rows.connection.pragma("user_version", FORMAT))
        else:
            await self._ask(lambda rows: rows.connection.pragma("user_version"))

    async def _check_name(self) -> None:
        """Raise StoreUnavailable where what is written will not be found by the next start."""
        found = await self._ask(lambda rows: self._file.find_renamed())
        if found is not None and found != self._renamed:
            log.error(found.text)
        self._renamed = found
        if found is not None and found.is_gone:
            raise StoreUnavailable(
                "the session file was moved, deleted or replaced while it is in use"
            )

    def _burial(
        self, after: tuple[float, int], expired_before: float, limit: int
    ) -> "partial[tuple[list[Key], tuple[float, int] | None]]":
        end_of = self.clock.end_of
        return partial(
            _bury, after=after, expired_before=expired_before, limit=limit, end_of=end_of
        )

    async def close(self) -> None:
        """Commit what is under way and give the file up."""
        self._pass_on()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.close()
        self._writing.close()
        self._checkpointer.close()
        self._reader.close()
        self._mark.remove()
        self._writer.close()
        self._file.close()

    def _ask(self, run: Callable[[SessionRows], T]) -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        if not self._asked:
            # One wake-up for all that is asked in this turn of the loop: woken by the first, the
            # reader would fight the loop for the interpreter.
            loop.call_soon(self._pass_on)
        self._asked.append(ReadJob(run, future))
        return future

    def _pass_on(self) -> None:
        asked, self._asked = self._asked, []
        for job in asked:
            self._reading.put(job)

    def _change(
        self, run: Callable[[SessionRows], T], writes: Sequence[Write] = ()
    ) -> "asyncio.Future[T]":
        """Write something, in the next transaction."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._writing.put(WriteJob(run, lambda result: tell([future], [result]), writes))
        return future


def _metas(
    rows: SessionRows, tenant: str, model: str | None, after: str, limit: int
) -> tuple[list[tuple[SessionMeta, int]], str]:
    """Metadata and state bytes of the next sessions, and the id to go on after; "" at the end."""
    metas: list[tuple[SessionMeta, int]] = []
    names = rows.names(tenant, model, after, limit)
    for place, name in names:
        try:
            sealed = rows.meta(place)
        except Damage:
            log.warning("session %r is damaged and left out of the list", name)
            continue
        # A damaged index may lead to somebody else's.
        if sealed is not None and sealed.meta.key == (tenant, name):
            metas.append((sealed.meta, sealed.state_bytes))
    # Nor may it lead in a circle.
    is_last = len(names) < limit or names[-1][1] <= after
    return metas, "" if is_last else names[-1][1]


def _delete_damaged(rows: SessionRows, key: Key, base: bytes) -> Outcome:
    return _mending(rows, lambda rows: rows.delete(key, base))


def _mending(rows: SessionRows, run: Callable[[SessionRows], T]) -> T:
    with rows.mending():
        return run(rows)


def _bury(
    rows: SessionRows,
    after: tuple[float, int],
    expired_before: float,
    limit: int,
    end_of: Callable[[SessionMeta], float],
) -> tuple[list[Key], tuple[float, int] | None]:
    """Bury what has expired of the next sessions that are due; where to go on, None at the end."""
    buried: list[Key] = []
    found = rows.due(after, expired_before, limit)
    for place, _ in found:
        try:
            sealed = rows.meta(place)
        except Damage:
            # It stays, to be deleted by whoever owns it.
            continue
        if sealed is None:
            continue
        end = end_of(sealed.meta)
        if end <= expired_before:
            rows.bury(place, sealed.meta, end)
            if not sealed.meta.ended:
                buried.append(sealed.meta.key)
        else:
            rows.postpone(place, end)
    if len(found) < limit:
        return buried, None
    place, due = found[-1]
    return buried, (due, place)


def _straighten(
    rows: SessionRows,
    after: tuple[float, int],
    now: float,
    latest: float,
    end_of: Callable[[SessionMeta], float],
) -> tuple[float, int] | None:
    """Stamp the next sessions anew that lie ahead; where to go on, None at the end."""
    found = rows.due(after, float("inf"), _SWEEP_ROWS)
    for place, _ in found:
        try:
            sealed = rows.meta(place)
        except Damage:
            sealed = None
        if sealed is not None and sealed.meta.used_at > now:
            rows.stamp(place, sealed, now)
        else:
            # It was stamped anew since it was opened, or sessions might live longer then.
            rows.postpone(place, latest if sealed is None else min(latest, end_of(sealed.meta)))
    return (found[-1][1], found[-1][0]) if len(found) == _SWEEP_ROWS else None
