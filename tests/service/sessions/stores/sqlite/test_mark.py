"""A session file says while a store has it that it lacks what is in its log: so a file whose log is
missing is told from one that was closed.
"""

import itertools
import logging
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import apsw
import pytest

from carousel.service.sessions.stores.sqlite import log_bound
from carousel.service.sessions.stores.sqlite.file import FORMAT, IN_USE, SqliteFile
from carousel.service.sessions.stores.sqlite.mark import FileMark
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.durable import PAGE, make_record, open_records
from tests.harness.process import PATIENCE_S
from tests.harness.rig import play
from tests.harness.session_file import ids_at_start, log_of

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


def test_a_file_in_use_says_so(path: Path, said: pytest.LogCaptureFixture) -> None:
    """With its log beside it, it is whole, and it is closed by whoever takes that up."""
    assert mark_of(path) == IN_USE
    assert ids_at_start(path) == ["s"]
    assert mark_of(path) == FORMAT
    assert said.messages == []


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_log_that_is_missing_is_told(
    path: Path, is_empty: bool, said: pytest.LogCaptureFixture
) -> None:
    """At the next start, and then no more: what is lost is lost."""
    log_of(path).unlink()
    if is_empty:
        log_of(path).touch()
    assert ids_at_start(path) == []
    (message,) = said.messages
    assert MISSING in message
    assert "may be older than what clients were answered" in message
    assert ids_at_start(path) == []
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
    assert not log_of(path).exists()
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
    mark = FileMark(connection, path)
    mark.put()
    assert mark_of(path) == IN_USE
    connection.pragma("query_only", True)
    mark.remove()
    connection.close()
    file.close()
    assert log_of(path).stat().st_size > 0
    assert "could not be marked" in said.messages[0]
    assert ids_at_start(path) == []
    assert len(said.messages) == 1


def test_a_store_opens_where_no_mark_can_be_made(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """On a disk that is full, say: it answers that when it is written to."""
    file = SqliteFile(tmp_path / "s")
    connection = file.connect()
    connection.pragma("query_only", True)
    FileMark(connection, tmp_path / "s").put()
    connection.close()
    file.close()
    assert "could not be marked" in said.messages[0]
    assert not log_of(tmp_path / "s").exists()
    assert mark_of(tmp_path / "s") == FORMAT


def test_a_store_that_recovers_stays_marked(tmp_path: Path) -> None:
    """What it writes to find out whether it can write again stays in the log."""
    path = tmp_path / "s"

    async def scenario() -> None:
        store = SqliteStore(path)
        store._writer.failing = True
        await store.ping()
        assert not store._writer.failing
        _cp(path, tmp_path / "copy")
        await store.close()

    play(scenario)
    assert mark_of(tmp_path / "copy") == IN_USE
    assert mark_of(path) == FORMAT


def test_an_older_version_takes_the_mark_for_its_format(path: Path) -> None:
    """It refuses numbers that are greater than the one that it knows."""
    log_of(path).unlink()
    connection = sqlite3.connect(path)
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    assert found == IN_USE <= FORMAT


def test_whoever_takes_the_log_over_takes_the_mark_away(
    path: Path, said: pytest.LogCaptureFixture
) -> None:
    """An older version that is started in between, or another program, knows nothing of it."""
    other = sqlite3.connect(path)
    assert other.execute("SELECT count(*) FROM session").fetchone() == (1,)
    other.close()
    assert not log_of(path).exists()
    assert mark_of(path) == FORMAT
    assert ids_at_start(path) == ["s"]
    assert said.messages == []


def test_checkpoints_leave_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    """The file lacks what is in its log as before, and both together lack nothing."""
    path, marks = tmp_path / "s", set[int]()
    lifted = _small_checkpoints(monkeypatch)
    names = map("s{:04}".format, itertools.count())

    async def scenario() -> None:
        store = SqliteStore(path)
        # Closed at the end: SQLite's locks go when this process closes the file.
        with path.open("rb", buffering=0) as file:
            while len(lifted) < 5:
                await open_records(store, make_record(next(names), state=bytes(PAGE)))
                marks.add(int.from_bytes(os.pread(file.fileno(), 4, 60), "big", signed=True))
            await open_records(store, make_record("last"))
            assert store._checkpointer._log_pages < 40
            _cp(path, tmp_path / "killed")
            await store.close()

    play(scenario)
    assert marks == {IN_USE}
    assert ids_at_start(tmp_path / "killed") == ids_at_start(path)
    assert said.messages == []


def test_a_kill_in_the_middle_of_a_checkpoint_is_no_log_that_is_missing(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """Both have the mark then; whoever takes the log over takes it away, also who only looks."""
    path = tmp_path / "s"

    async def scenario() -> None:
        store = SqliteStore(path)
        await open_records(store, make_record("s"))
        assert store._mark.set()
        for name in ("looked", "started"):
            _cp(path, tmp_path / name)
        await store.close()

    play(scenario)
    SqliteFile(tmp_path / "looked").close()
    assert mark_of(tmp_path / "looked") == FORMAT
    for name in ("looked", "started", "s"):
        assert ids_at_start(tmp_path / name) == ["s"]
    assert said.messages == []


def test_a_checkpoint_that_somebody_reads_through_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    """It may carry over what takes the mark away, without what sets it: the next sets it again."""
    path = tmp_path / "s"
    lifted = _small_checkpoints(monkeypatch)
    names = map("s{:04}".format, itertools.count())

    async def scenario() -> None:
        store = SqliteStore(path)
        reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        reader.execute("BEGIN; SELECT count(*) FROM session").fetchall()
        for many in (3, 6):
            while len(lifted) < many:
                await open_records(store, make_record(next(names), state=bytes(PAGE)))
            reader.close(force=True)
        _cp(path, tmp_path / "killed")
        await store.close()

    play(scenario)
    assert mark_of(tmp_path / "killed") == IN_USE
    assert Path(f"{tmp_path / 'killed'}-wal").stat().st_size > 0
    assert ids_at_start(tmp_path / "killed") == ids_at_start(path)
    assert said.messages == []


def _small_checkpoints(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Checkpoints after a few commits; the list grows by one with the end of each."""
    monkeypatch.setattr(log_bound, "_BEGIN_PAGES", 40)
    lifted: list[None] = []
    lift = FileMark.lift

    def lift_and_count(mark: FileMark) -> bool:
        lifted.append(None)
        return lift(mark)

    monkeypatch.setattr(FileMark, "lift", lift_and_count)
    return lifted
