"""Rows that are not what was written, by the store alone: who they belong to is seen, and what can
be done without them is.
"""

import asyncio
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from carousel.service.sessions.session_record import Key, SessionRecord
from carousel.service.sessions.stores.base import Damaged, Outcome, Write
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.durable import (
    PAGE,
    commit,
    find_row,
    flip,
    ids_of,
    locked,
    make_record,
    next_write,
    open_records,
    outcomes_of,
    overwrite,
    root_page,
)
from tests.harness.fakes import PATIENCE_S
from tests.harness.rig import play, until

WRITTEN = Outcome.WRITTEN


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "s"


def test_a_row_that_cannot_be_written_costs_its_neighbours_nothing(path: Path) -> None:
    """In one transaction with rows on a lost page all others are written; what was opened there
    for another model is listed as that model's.
    """
    records = [make_record(f"s{index}", state=bytes(3000)) for index in range(6)]

    async def before() -> None:
        store = SqliteStore(path)
        await open_records(store, *records)
        await store.close()

    async def after() -> None:
        store = SqliteStore(path)
        anew = replace(make_record("s5", model="n"), state=bytes(3000))
        with locked(path):
            first = commit(store, next_write(records[3], bytes(3000)))
            # It has the writer's turn: all that comes now goes into the next transaction.
            await until(lambda: "waiting=0" in repr(store._writing))
            over = asyncio.ensure_future(store.write([Write(records[5].meta.revision, anew)]))
            await asyncio.sleep(0)
            # In one batch of an engine's, and in one of its own.
            both = commit(
                store, next_write(records[1], bytes(3000)), next_write(records[0], bytes(3000))
            )
            other = commit(store, next_write(records[4], bytes(3000)))
        assert outcomes_of(first) == outcomes_of(other) == [WRITTEN]
        assert outcomes_of(both) == [Outcome.DAMAGED, WRITTEN]
        assert await over == [WRITTEN]
        assert await ids_of(store, model="n") == ["s5"]
        await store.close()

    play(before)
    assert find_row(path, 2).page != find_row(path, 1).page
    overwrite(path, find_row(path, 2).page, bytes(PAGE))
    play(after)


def test_sessions_that_changed_places_are_found_out(path: Path) -> None:
    """Revision, head and state of one session in another's row are whole, and not its own."""

    async def before() -> None:
        store = SqliteStore(path)
        await open_records(store, *(make_record(each) for each in "abc"))
        await store.close()

    async def after() -> None:
        store = SqliteStore(path)
        for each in "ab":
            assert isinstance(await store.load(("", each)), Damaged)
        assert isinstance(await store.load(("", "c")), SessionRecord)
        assert await ids_of(store) == ["c"]
        await store.close()

    play(before)
    connection = apsw.Connection(str(path))
    parts = "revision, head, state"
    rows = [
        connection.execute(f"SELECT {parts} FROM session WHERE id = ?", (place,)).fetchone()
        for place in (2, 1)
    ]
    for place, row in enumerate(rows, 1):
        connection.execute(f"UPDATE session SET ({parts}) = (?, ?, ?) WHERE id = {place}", row)
    connection.close()
    play(after)


def test_a_list_shows_nothing_of_another_tenant(path: Path) -> None:
    """Also when the index leads to somebody else's row: nothing of it is shown or used."""

    async def before() -> None:
        store = SqliteStore(path)
        keys: list[Key] = [("", "first"), ("alice", "s"), ("bob", "t")]
        await open_records(store, *(make_record(name, tenant=tenant) for tenant, name in keys))
        await store.close()

    async def after() -> None:
        store = SqliteStore(path)
        assert await ids_of(store, "alice") == []
        assert await ids_of(store, "bob") == ["t"]
        assert isinstance(await store.load(("alice", "s")), Damaged)
        await store.close()

    play(before)
    index = root_page(path, "session_by_name")
    _flip_in(path, index, b"alices\x02", 6, 0x01)
    play(after)


def test_a_list_has_an_end(path: Path) -> None:
    """Also when an index is out of order, and no session in it is live."""

    async def before() -> None:
        store = SqliteStore(path)
        await open_records(store, *(make_record(f"s{index}") for index in range(8)))
        await store.close()

    async def after() -> None:
        store = SqliteStore(path)
        async with asyncio.timeout(PATIENCE_S / 5):
            assert await store.page("", None, None, 2, 9999.0) == []
        await store.close()

    play(before)
    _flip_in(path, root_page(path, "session_by_name"), b"s7\x08", 0, ord("s") ^ ord("a"))
    play(after)


def _flip_in(path: Path, page: int, wanted: bytes, offset: int, mask: int) -> None:
    """Flip bits of a byte of an entry on a page."""
    at = path.read_bytes().index(wanted, page, page + PAGE)
    flip(path, at + offset, mask)
