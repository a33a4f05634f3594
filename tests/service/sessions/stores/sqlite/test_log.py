"""SQLite's log, as a killed process leaves it: what SQLite passes over of it is said at the next
start, where it had been answered, and nothing is said where all is as it should be.
"""

import logging
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest

from carousel.service.sessions.stores.sqlite.log import LogExtent, look_through, read_index
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.durable import (
    PAGE,
    commit,
    flip,
    make_record,
    next_write,
    open_records,
    outcomes_of,
    overwrite,
)
from tests.harness.process import Process
from tests.harness.rig import play
from tests.harness.session_file import ids_at_start, log_of

HEAD, FRAME = 32, 24 + PAGE
NAMES = [f"s{n}" for n in range(8)]


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged."""
    caplog.set_level(logging.WARNING, "carousel")
    return caplog


def _copy(path: Path, to: Path, *ends: str) -> Path:
    """The file and what is beside it, as they stand: what a killed process would leave."""
    for end in ("", "-wal", *ends):
        shutil.copy(f"{path}{end}", f"{to}{end}")
    return to


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose sessions were each written in a commit of its own; the log has all of it."""
    folder = tmp_path_factory.mktemp("killed")

    async def scenario() -> None:
        store = SqliteStore(folder / "live")
        for name in NAMES:
            record = make_record(name, state=bytes(6000))
            await open_records(store, record)
            outcomes_of(commit(store, next_write(record, name.encode() * 3000)))
        _copy(folder / "live", folder / "s", "-shm")
        await store.close()

    play(scenario)
    return folder / "s"


@pytest.fixture(params=[True, False], ids=["index", "no-index"])
def path(request: pytest.FixtureRequest, killed: Path, tmp_path: Path) -> Path:
    """A copy of it, with the log's index and without."""
    return _copy(killed, tmp_path / "s", *(["-shm"] if request.param else []))


def _look(path: Path) -> LogExtent:
    """What is found on a copy, for SQLite takes the log over."""
    with TemporaryDirectory() as folder:
        copy = Path(folder) / "s"
        for end in ("", "-wal", "-shm"):
            if Path(f"{path}{end}").exists():
                shutil.copy(f"{path}{end}", f"{copy}{end}")
        index = read_index(Path(f"{copy}-shm"))
        connection = apsw.Connection(str(copy))
        try:
            connection.pragma("user_version")
            return look_through(log_of(copy), index, connection.wal_checkpoint()[0])
        finally:
            connection.close()


def _size(path: Path) -> int:
    return log_of(path).stat().st_size


def _frames_read(path: Path) -> int:
    """How many frames SQLite itself finds; it takes the log over."""
    connection = apsw.Connection(str(path))
    try:
        connection.pragma("user_version")
        return connection.wal_checkpoint()[0]
    finally:
        connection.close()


def _closing(path: Path) -> list[int]:
    """The frames that close a transaction, counted from 1."""
    data = log_of(path).read_bytes()
    heads = [data[at : at + 24] for at in range(HEAD, len(data), FRAME)]
    return [n for n, head in enumerate(heads, start=1) if head[4:8] != bytes(4)]


def test_a_whole_log_is_said_nothing_of(path: Path, said: pytest.LogCaptureFixture) -> None:
    """All of it is read, after a kill and after an ordinary end."""
    assert _look(path) == LogExtent(_size(path), _size(path))
    assert ids_at_start(path) == NAMES
    assert ids_at_start(path) == NAMES
    assert said.messages == []


def test_a_flip_within_is_told_once(path: Path, said: pytest.LogCaptureFixture) -> None:
    """With the bytes that are lost; what comes before is there, and the next start is quiet."""
    closing = _closing(path)
    middle = closing[len(closing) // 2]
    flip(log_of(path), HEAD + middle * FRAME + 1000)
    names = ids_at_start(path)
    assert NAMES[: len(names)] == names != NAMES
    (message,) = said.messages
    assert f"its last {(closing[-1] - middle) * FRAME} bytes cannot be read" in message
    assert "may be older than what clients were answered" in message
    ids_at_start(path)
    assert len(said.messages) == 1


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_what_is_read_is_what_sqlite_reads(killed: Path, tmp_path: Path, mask: int) -> None:
    """Wherever a byte is flipped, as many frames count for us as for SQLite; and all that was
    written is known of, but for the very end without an index.
    """
    closing = _closing(killed)
    heads = [HEAD + frame * FRAME + at for frame in range(6, 10) for at in range(0, 25, 3)]
    pages = range(HEAD + 40, _size(killed), 7 * FRAME // 3)
    for offset in (*range(0, HEAD, 3), *heads, *pages):
        path = _copy(killed, tmp_path / "s", "-shm")
        flip(log_of(path), offset, mask)
        extent = _look(path)
        Path(f"{path}-shm").unlink()
        alone = _look(path)
        assert extent.written_bytes == _size(killed)
        assert (extent.lost_bytes > 0) == (extent.read_bytes < _size(killed))
        assert alone.read_bytes == extent.read_bytes
        if offset < HEAD + closing[-2] * FRAME:
            assert alone == extent, offset
        assert max(0, extent.read_bytes - HEAD) == _frames_read(path) * FRAME, offset


def test_a_log_that_was_cut_is_told(killed: Path, tmp_path: Path) -> None:
    """By its index, wherever it was cut; nothing of it left at all is told as well."""
    closing = _closing(killed)
    size = _size(killed)
    for left in (0, 17, HEAD, *range(HEAD, size, 5 * FRAME // 2), size - 1):
        path = _copy(killed, tmp_path / "s", "-shm")
        with log_of(path).open("r+b") as file:
            file.truncate(left)
        extent = _look(path)
        kept = [each for each in closing if HEAD + each * FRAME <= left]
        read = HEAD + kept[-1] * FRAME if kept else HEAD if left >= HEAD else 0
        assert extent == LogExtent(read, size), left


def test_an_older_generation_behind_is_nothing_lost(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    """The log begins anew after a checkpoint, over frames that were carried over long ago."""
    connection = _connect(tmp_path / "live")
    for _ in range(20):
        connection.execute("INSERT INTO mine VALUES (randomblob(9000))")
    whole = _size(tmp_path / "live")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
    connection.execute("INSERT INTO mine VALUES (1)")
    for ends in (["-shm"], []):
        path = _copy(tmp_path / "live", tmp_path / f"s{len(ends)}", *ends)
        extent = _look(path)
        assert (extent.lost_bytes, _size(path)) == (0, whole)
        assert 0 < extent.read_bytes < whole / 3
    connection.close()


def test_a_transaction_that_was_not_closed_is_nothing_lost(tmp_path: Path) -> None:
    """It was killed half way, and nobody was answered: whole frames of it, and half of one."""
    connection = _connect(tmp_path / "live")
    connection.execute("INSERT INTO mine VALUES (1)")
    committed = _size(tmp_path / "live")
    connection.pragma("cache_size", 2)
    connection.execute("BEGIN")
    for _ in range(20):
        connection.execute("INSERT INTO mine VALUES (randomblob(9000))")
    for ends in (["-shm"], []):
        path = _copy(tmp_path / "live", tmp_path / f"s{len(ends)}", *ends)
        assert _size(path) > committed + 3 * FRAME
        for cut in (0, FRAME // 2, FRAME, FRAME - 24):
            with log_of(path).open("r+b") as file:
                file.truncate(_size(path) - cut)
            assert _look(path) == LogExtent(committed, committed)
        # The head of a frame that closes a transaction, and not yet its page.
        last = HEAD + (_size(path) - HEAD) // FRAME * FRAME - FRAME
        overwrite(log_of(path), last + 4, (99).to_bytes(4, "big"))
        assert _look(path) == LogExtent(committed, committed)
    connection.execute("ROLLBACK")
    connection.close()


def test_a_killed_process_loses_nothing(tmp_path: Path, said: pytest.LogCaptureFixture) -> None:
    """SIGKILL in the middle of its commits, three times over on the same file: no start has
    anything to tell.
    """
    path = tmp_path / "s"
    for number in range(3):
        program = [sys.executable, "-c", _WRITES, str(path), str(number)]
        with Process(program) as process:
            process.wait_for_printed("written 100")
        assert _size(path) > HEAD
        extent = _look(path)
        assert extent.lost_bytes == 0
        assert extent.read_bytes > 0
        assert ids_at_start(path)
        assert _has(path, f"s{number}-99")
    assert said.messages == []


_WRITES = """
import asyncio, sys
from pathlib import Path
from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Write
from carousel.service.sessions.stores.sqlite.store import SqliteStore

async def write(path, number):
    store = SqliteStore(path)
    for n in range(1_000_000):
        identity = SessionIdentity(("", f"s{number}-{n}"), "m", "w", 900.0, 60.0)
        meta = SessionMeta(identity, 1, n.to_bytes(16), 0, 1000.5)
        await store.write([Write(None, SessionRecord(meta, bytes(5000)))])
        if n == 100:
            print("written 100", flush=True)

asyncio.run(write(Path(sys.argv[1]), sys.argv[2]))
"""


def _has(path: Path, name: str) -> bool:
    connection = apsw.Connection(str(path))
    try:
        return bool(connection.execute("SELECT 1 FROM session WHERE name = ?", (name,)).get)
    finally:
        connection.close()


def _connect(path: Path) -> apsw.Connection:
    """A file with a log and a table."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.pragma("wal_autocheckpoint", 0)
    connection.execute("CREATE TABLE mine (x)")
    return connection
