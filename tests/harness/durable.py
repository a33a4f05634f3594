"""Sessions in an SQLite file, for the tests of what outlives a process: a rig whose store is a
file, a service over a socket on one, and ways to damage the file while nobody has it open.
"""

import asyncio
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import apsw
import httpx
import numpy as np

from carousel.models.row import Array
from carousel.service.errors import CarouselError, StoreUnavailable
from carousel.service.sessions.committer import new_revision
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.stores.base import Outcome, Store, Write
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.client import MODEL, TOLERANCE
from tests.harness.clocks import Clock
from tests.harness.fakes import PATIENCE_S
from tests.harness.live import Live
from tests.harness.rig import MAX_TTL_S, Rig, sums
from tests.harness.served import Served, run_lstm

TTL_S = 3600.0
TOMBSTONE_S = 86400.0
PAGE = 4096


class DurableRig(Rig):
    """A rig whose sessions are in a file: what it leaves, the next one on the same file finds.

    `clock`: handed from one to the next, time goes on.
    """

    def __init__(
        self, path: Path, clock: Clock | None = None, *, num_slots: int = 16, ttl_s: float = TTL_S
    ) -> None:
        super().__init__(num_slots=num_slots)
        self.clock = clock if clock is not None else self.clock
        self.sqlite = SqliteStore(path)
        self.sessions = Sessions(
            self.sqlite,
            self.catalog,
            ttl_s=ttl_s,
            max_ttl_s=MAX_TTL_S,
            tombstone_s=TOMBSTONE_S,
            deadline_s=PATIENCE_S,
            max_waiting=4096,
            clock=self.clock,
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            await self.sqlite.close()


IDS = [f"s{index:03}" for index in range(24)]
# What each session of `make_sound` was fed, one number a step: so many steps that its recorded
# replies, and with them its row, no longer grow.
FED = {each: (1.0 + n, *(1000.0 * step for step in range(1, 9))) for n, each in enumerate(IDS)}
# Not a whole number: SQLite stores those in another way.
NOW = 1_000_000.5


async def make_sound(path: Path, log: Path | None = None) -> None:
    """A file of sessions that were fed, closed. `log`: a folder for a copy of the file and
    its log as they stood before they were closed, as a killed process leaves them.
    """
    async with DurableRig(path, Clock(NOW)) as rig:
        for session_id, fed in FED.items():
            await rig.open(session_id)
            for number in fed:
                await rig.step(session_id, number)
        if log is not None:
            for each in (path, Path(f"{path}-wal")):
                shutil.copy(each, log)


async def step_all(rig: Rig) -> dict[str, float | CarouselError]:
    """One step of one for every session, in as few batches as can be: the sums that come out, and
    the errors of those that are refused.
    """
    found: dict[str, float | CarouselError] = {}
    for session_id in IDS:
        try:
            await rig.info(session_id)
        except CarouselError as error:
            found[session_id] = error
    rig.backend.hold()
    tasks = {each: asyncio.ensure_future(rig.step(each, 1)) for each in IDS if each not in found}
    if tasks:
        await rig.backend.entered()
    rig.backend.go()
    for session_id, task in tasks.items():
        try:
            (found[session_id],) = sums(await task)
        except CarouselError as error:
            found[session_id] = error
    return found


async def listed(rig: Rig, model: str | None = None) -> list[str]:
    """The ids of the list, page by page."""
    ids: list[str] = []
    after: str | None = None
    while True:
        page = await rig.sessions.page("", model=model, limit=5, after=after)
        ids += [each.session_id for each in page.sessions]
        assert len(ids) <= 2 * len(IDS), "the list has no end"
        after = page.next
        if after is None:
            return ids


def make_record(
    session_id: str, *, tenant: str = "", model: str = "m", state: bytes = b"\1" * 16
) -> SessionRecord:
    """A new session's record, for a store without sessions around it."""
    identity = SessionIdentity((tenant, session_id), model, "w", 900.0, 60.0)
    return SessionRecord(SessionMeta(identity, 1, new_revision(), 0, 1000.5), state)


def next_write(record: SessionRecord, state: bytes = b"\2" * 16) -> Write:
    """The write that moves a session one step on."""
    meta = replace(record.meta, revision=new_revision(), position=record.meta.position + 1)
    return Write(record.meta.revision, SessionRecord(meta, state))


def commit(store: Store, *writes: Write) -> "Future[Sequence[Outcome] | StoreUnavailable]":
    """Commit as an engine's thread does."""
    future: Future[Sequence[Outcome] | StoreUnavailable] = Future()
    store.commit(writes, future.set_result)
    return future


def outcomes_of(future: "Future[Sequence[Outcome] | StoreUnavailable]") -> list[Outcome]:
    """The outcomes of a commit, once they are told."""
    found = future.result(PATIENCE_S)
    assert not isinstance(found, StoreUnavailable), found.detail
    return list(found)


async def open_records(store: Store, *records: SessionRecord) -> None:
    """Write sessions that are new."""
    outcomes = await store.write([Write(None, each) for each in records])
    assert outcomes == [Outcome.WRITTEN] * len(records)


async def ids_of(store: Store, tenant: str = "", model: str | None = None) -> list[str]:
    """The live sessions that a store lists."""
    return [meta.id for meta, _ in await store.page(tenant, model, None, 99, 1000.0)]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program is in the middle of a transaction of its own on the file."""
    connection = apsw.Connection(str(path))
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def copy_models(repository: Path, folder: Path, *names: str) -> Path:
    """A repository of some models of another one, so that a service of them starts sooner."""
    for name in names:
        shutil.copytree(repository / name, folder / name)
    return folder


def serve_file(repository: Path, path: Path, *arguments: str) -> Live:
    """A service over a socket that keeps its sessions in the file."""
    return Live(repository, "--store", f"sqlite:{path}", *arguments)


def open_session(http: httpx.Client, session_id: str, model: str = MODEL, **more: Any) -> Any:
    """Open a session; returns its SessionInfo."""
    body = {"model": model, "session_id": session_id, **more}
    answer = http.post("/v1/sessions", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def expect_lstm(served: Mapping[str, Served], outputs: Any, *fed: Array) -> None:
    """`outputs` are what the eager module gives for the last of what was fed, one after another."""
    whole = np.concatenate(fed)  # (T, F)
    expected, _, _ = run_lstm(served[MODEL].module, whole)
    found = np.asarray(outputs, np.float32).reshape(-1, expected.shape[1])  # (T, H)
    np.testing.assert_allclose(found, expected[-len(fed[-1]) :], rtol=0, atol=TOLERANCE)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """Put bytes into a file that nobody has open."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(path: Path, offset: int, mask: int = 0x01) -> None:
    """Flip bits of one byte of a file that nobody has open."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
    overwrite(path, offset, bytes([byte ^ mask]))


def root_page(path: Path, name: str) -> int:
    """Where the first page of a table or an index begins, in a file that nobody has open."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (name,)).get
    finally:
        connection.close()
    assert isinstance(found, int)
    return (found - 1) * PAGE


@dataclass(frozen=True, slots=True)
class Row:
    """Where in a file a session's row is: its page, its cell there, and of each column its value
    and the last byte of what says which type that has (as SQLite's file format has it).
    """

    page: int
    cell: int
    types: Mapping[str, int]
    columns: Mapping[str, int]


_COLUMNS = ("id", "tenant", "name", "model", "due", "revision", "head", "state")
_NUMBERS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)  # bytes that a number of each type takes
_LEAF = 13


def find_row(path: Path, place: int) -> Row:
    """The row of the session that was the `place`-th to be opened; it must be whole on its page."""
    data = path.read_bytes()
    for page in _leaves(data, root_page(path, "session")):
        for cell in _cells(data, page):
            _, at = _varint(data, cell)
            rowid, at = _varint(data, at)
            if rowid == place:
                return Row(page, cell, *_record(data, at))
    raise AssertionError(f"no row {place}")


def _leaves(data: bytes, page: int) -> Iterator[int]:
    if data[page] == _LEAF:
        yield page
        return
    for child in (*_cells(data, page), page + 8):
        yield from _leaves(data, (int.from_bytes(data[child : child + 4], "big") - 1) * PAGE)


def _cells(data: bytes, page: int) -> Iterator[int]:
    count = int.from_bytes(data[page + 3 : page + 5], "big")
    first = page + (8 if data[page] == _LEAF else 12)
    for at in range(first, first + 2 * count, 2):
        yield page + int.from_bytes(data[at : at + 2], "big")


def _record(data: bytes, start: int) -> tuple[dict[str, int], dict[str, int]]:
    size, at = _varint(data, start)
    value = start + size
    types: dict[str, int] = {}
    columns: dict[str, int] = {}
    for name in _COLUMNS:
        kind, at = _varint(data, at)
        types[name], columns[name] = at - 1, value
        value += _NUMBERS[kind] if kind < len(_NUMBERS) else (kind - 12) // 2
    assert at == start + size
    return types, columns


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends."""
    value = 0
    while True:
        value = value << 7 | data[at] & 0x7F
        at += 1
        if data[at - 1] < 0x80:
            return value, at
