"""A session file says while a store has it that it lacks what is in its log: so a file whose log is
missing is told from one that was closed.
"""

import logging
import shutil
import sqlite3
import subprocess
from pathlib import Path

import apsw
import pytest

from carousel.service.sessions.stores.sqlite.file import FORMAT, IN_USE, SqliteFile
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.durable import ids_of, make_record, open_records
from tests.harness.process import PATIENCE_S
from tests.harness.rig import play

MISSING = "missing, and the file was in use"


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged."""
    caplog.set_level(logging.WARNING, "carousel")
    return caplog


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file and its log as they stand while a store has them, with a session in the log alone."""
    folder = tmp_path_factory.mktemp("taken")

    async def scenario() -> None:
        store = SqliteStore(folder / "live")
        await open_records(store, make_record("s"))
        _cp(folder / "live", folder / "s")
        await store.close()

    play(scenario)
    assert mark_of(folder / "live") == FORMAT
    return folder / "s"


@pytest.fixture
def path(taken: Path, tmp_path: Path) -> Path:
    """A copy of both."""
    _cp(taken, tmp_path / "s")
    return tmp_path / "s"


def _cp(source: Path, target: Path) -> None:
    """Copy by another process: SQLite's locks would go if this one closed the file."""
    for end in ("", "-wal"):
        command = ["cp", f"{source}{end}", f"{target}{end}"]
        subprocess.run(command, check=True, timeout=PATIENCE_S)


def mark_of(path: Path) -> int:
    """What stands in the file itself, where SQLite has the number that an application gives."""
    return int.from_bytes(path.read_bytes()[60:64], "big", signed=True)


def _log(path: Path) -> Path:
    return Path(f"{path}-wal")


def _start(path: Path) -> list[str]:
    """Open the store and close it; the ids that it has."""
    found: list[str] = []

    async def scenario() -> None:
        store = SqliteStore(path)
        found.extend(await ids_of(store))
        await store.close()

    play(scenario)
    return found


def test_a_file_in_use_says_so(path: Path, said: pytest.LogCaptureFixture) -> None:
    """With its log beside it, it is whole, and it is closed by whoever takes that up."""
    assert mark_of(path) == IN_USE
    assert _start(path) == ["s"]
    assert mark_of(path) == FORMAT
    assert said.messages == []


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_log_that_is_missing_is_told(
    path: Path, is_empty: bool, said: pytest.LogCaptureFixture
) -> None:
    """At the next start, and then no more: what is lost is lost."""
    _log(path).unlink()
    if is_empty:
        _log(path).touch()
    assert _start(path) == []
    (message,) = said.messages
    assert MISSING in message
    assert "may be older than what clients were answered" in message
    assert _start(path) == []
    assert len(said.messages) == 1


def test_who_only_looks_takes_up_a_log_and_changes_nothing_without(path: Path) -> None:
    """So that what is missing is found as often as it is looked for."""
    without = path.with_name("without")
    shutil.copy(path, without)
    before = without.read_bytes()
    for _ in range(2):
        looked = SqliteFile(without)
        looked.close()
        assert looked.log_problem is not None
        assert MISSING in looked.log_problem
    assert without.read_bytes() == before
    SqliteFile(path).close()
    assert not _log(path).exists()
    assert mark_of(path) == FORMAT
    again = SqliteFile(path)
    again.close()
    assert again.log_problem is None


def test_a_mark_that_cannot_be_taken_away_leaves_the_log(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """It belongs to the file that says so, and is taken up by the next start."""
    path = tmp_path / "s"
    file = SqliteFile(path)
    connection = file.connect()
    file.mark(connection, in_use=True)
    assert mark_of(path) == IN_USE
    connection.pragma("query_only", True)
    file.mark(connection, in_use=False)
    connection.close()
    file.close()
    assert _log(path).stat().st_size > 0
    assert "could not be marked" in said.messages[0]
    assert _start(path) == []
    assert len(said.messages) == 1


def test_a_store_opens_where_no_mark_can_be_made(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """On a disk that is full, say: it answers that when it is written to."""
    file = SqliteFile(tmp_path / "s")
    connection = file.connect()
    connection.pragma("query_only", True)
    file.mark(connection, in_use=True)
    connection.close()
    file.close()
    assert "could not be marked" in said.messages[0]
    assert not _log(tmp_path / "s").exists()
    assert mark_of(tmp_path / "s") == FORMAT


def test_an_older_version_takes_the_mark_for_its_format(path: Path) -> None:
    """It refuses numbers that are greater than the one that it knows."""
    connection = sqlite3.connect(path)
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    assert found == IN_USE <= FORMAT


def test_a_store_that_recovers_stays_marked(tmp_path: Path) -> None:
    """What it writes to find out whether it can write again is the mark."""
    path = tmp_path / "s"

    async def scenario() -> None:
        store = SqliteStore(path)
        store._writer.failing = True
        await store.ping()
        assert not store._writer.failing
        assert store._writer.connection.pragma("user_version") == IN_USE
        await store.close()

    play(scenario)
    assert mark_of(path) == FORMAT
    connection = apsw.Connection(str(path))
    assert connection.pragma("user_version") == FORMAT
    connection.close()
