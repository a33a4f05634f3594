"""`carousel-sessions backup` where something is wrong: one line, and nothing is left behind."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import numpy as np
import pytest

from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Write
from carousel.service.sessions.stores.sqlite.file import FORMAT, SqliteFile
from carousel.service.sessions.stores.sqlite.rows import SessionRows
from carousel.service.sessions.stores.sqlite.upkeep.folder import folder_beside
from tests.harness.durable import PAGE, flip
from tests.harness.process import PATHS, Process
from tests.service.admin.admin import line_of, run_tool, tool_command

NUM_SESSIONS = 300
Change = Callable[[Path], object]


def record(index: int, num_floats: int = 100) -> SessionRecord:
    """A session that looks like no other."""
    identity = SessionIdentity(("default", f"s-{index:05d}"), "m", "weights", 1.7e9, 3600.0)
    meta = SessionMeta(identity, 1, index.to_bytes(16, "big"), index, 1.7e9 + index, b"")
    return SessionRecord(meta, np.full(num_floats, index, "<f4").tobytes())


def fill(path: Path, *records: SessionRecord) -> None:
    """A file of sessions, as a service that was stopped leaves it."""
    owned = SqliteFile(path)
    connection = owned.connect()
    with connection:
        SessionRows(connection).put_all([Write(None, each) for each in records])
    connection.close()
    owned.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a file of 300 sessions."""
    path = tmp_path_factory.mktemp("sound") / "s"
    fill(path, *map(record, range(NUM_SESSIONS)))
    return path.read_bytes()


@pytest.fixture
def file(sound: bytes, tmp_path: Path) -> Iterator[Path]:
    """The file, in a folder with one for copies; it is the same afterwards, whatever was done."""
    path = tmp_path / "s"
    path.write_bytes(sound)
    (tmp_path / "copies").mkdir()
    yield path
    assert path.read_bytes() == sound
    for folder in (tmp_path, tmp_path / "copies"):
        assert not [each for each in os.listdir(folder) if each.startswith(".")]


def refuse(source: Path, dest: Path, *flags: str) -> str:
    """The one line of a backup that is not made; whatever is at its destination stays."""
    before = _look(dest.parent)
    ended = run_tool("backup", source, dest, *flags)
    assert (ended.code, ended.out) == (1, "")
    assert _look(dest.parent) == before
    return line_of(ended)


def _look(folder: Path) -> list[tuple[str, int, int]]:
    if not folder.is_dir():
        return []
    found = [(each, each.lstat()) for each in sorted(folder.iterdir())]
    return [
        (each.name, there.st_ino, 0 if each.is_dir() else there.st_mtime_ns)
        for each, there in found
    ]


def _sql(*statements: str) -> Change:
    def change(path: Path) -> None:
        connection = apsw.Connection(str(path))
        for each in statements:
            connection.execute(each).fetchall()
        connection.close()

    return change


def _erase_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    start = len(content) // PAGE // 2 * PAGE
    content[start : start + PAGE] = bytes(PAGE)
    path.write_bytes(content)


def _flip_state(path: Path) -> None:
    flip(path, path.read_bytes().index(record(123).state) + 77)


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _log_alone(path: Path) -> None:
    Path(f"{path}-wal").write_bytes(bytes(5000))
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Path.unlink, "there is no file"),
        (_make_folder, "it is no ordinary file"),
        (_make_pipe, "it is no ordinary file"),
        (lambda path: path.write_text("only text " * 999), "is not an SQLite file"),
        (lambda path: path.write_bytes(b"SQLite"), "is not an SQLite file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (_log_alone, "is empty, and"),
        (_sql("PRAGMA application_id = 7"), "belongs to another application"),
        (_sql(f"PRAGMA user_version = {FORMAT + 1}"), f"has format {FORMAT + 1}, of a newer"),
        (_sql(f"PRAGMA user_version = -{FORMAT + 1}"), f"has format {FORMAT + 1}, of a newer"),
        (_sql(f"PRAGMA user_version = -{FORMAT}"), "its log is missing"),
        (_erase_page, "is damaged"),
        (_flip_state, "is damaged, and was not copied: damaged sessions: s-00123"),
        (lambda path: os.truncate(path, path.stat().st_size // 2), "is damaged"),
    ],
)
def test_what_cannot_be_copied(file: Path, change: Change, words: str) -> None:
    """No such file, none of ours, none that is sound: it is named, and it stays as it is."""
    path = file.with_name("wrong")
    path.write_bytes(file.read_bytes())
    change(path)
    before = _look(file.parent)
    line = refuse(path, file.parent / "copies" / "copy")
    assert str(path) in line
    assert words in line
    assert "copies" not in line
    assert _look(file.parent) == before


def test_what_is_there_stays(file: Path) -> None:
    """Without --replace, whatever it is; and with it, what is no file."""
    copies = file.parent / "copies"
    (copies / "file").write_text("mine")
    (copies / "link").symlink_to("nowhere")
    (copies / "folder").mkdir()
    os.mkfifo(copies / "pipe")
    for name in ("file", "link"):
        assert "exists; --replace puts the copy in its place" in refuse(file, copies / name)
    for flags in ((), ("--replace",)):
        assert "it is a folder" in refuse(file, copies / "folder", *flags)
        assert "it is no ordinary file" in refuse(file, copies / "pipe", *flags)
        for name in ("missing/copy", "file/copy"):
            assert f"{copies / name} cannot be written" in refuse(file, copies / name, *flags)
        long = refuse(file, copies / ("a" * 255), *flags)
        assert "File name too long" in long


def test_a_link_is_written_through(file: Path) -> None:
    """With --replace: it leads to the copy, and stays a link."""
    copies = file.parent / "copies"
    (copies / "folder").mkdir()
    (copies / "link").symlink_to(copies / "folder" / "copy")
    assert run_tool("backup", file, copies / "link", "--replace").code == 0
    assert (copies / "link").is_symlink()
    assert os.listdir(copies / "folder") == ["copy"]
    assert run_tool("check", copies / "link").code == 0


def test_a_file_is_not_copied_over_itself(file: Path) -> None:
    """Nor over what is beside it, by whatever name."""
    (file.parent / "link").symlink_to(file)
    os.link(file, file.parent / "copies" / "twin")
    Path(f"{file}.lock").touch()
    for flags in ((), ("--replace",)):
        for name in ("s", "link", "copies/twin", "copies/../s"):
            assert "is the session file itself" in refuse(file, file.parent / name, *flags)
        for end in ("-wal", "-shm", "-journal", ".lock"):
            assert "belongs to the session file" in refuse(file, Path(f"{file}{end}"), *flags)


def test_a_file_with_a_second_name_is_not_copied(file: Path) -> None:
    """By one of them the log is missing."""
    os.link(file, file.parent / "twin")
    for name in (file, file.parent / "twin"):
        assert "2 names (hard links)" in refuse(name, file.parent / "copies" / "copy")
    assert os.listdir(file.parent / "copies") == []


@pytest.mark.parametrize("part", ["-wal", "-journal"])
def test_a_log_that_would_go_into_the_copy_is_named(file: Path, part: str) -> None:
    """SQLite would take it for a part of the copy."""
    copy = file.parent / "copies" / "copy"
    Path(f"{copy}{part}").write_bytes(b"left by another file")
    assert f"{copy}{part} would be taken for a part of the copy" in refuse(file, copy)


def test_a_file_in_use_is_not_replaced(file: Path) -> None:
    """The service that has it would go on with a file that has no name."""
    copy = file.parent / "copies" / "copy"
    fill(copy)
    owned = SqliteFile(copy)
    try:
        assert "of a running service" in refuse(file, copy, "--replace")
    finally:
        owned.close()
    assert run_tool("backup", file, copy, "--replace").code == 0


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
def test_a_full_disk_leaves_nothing(file: Path, share: float) -> None:
    """Wherever the space ends, whether a service has the file or not."""
    dest = file.parent / "copies" / "copy"
    size = int(file.stat().st_size * share)
    ended = run_tool("backup", file, dest, max_bytes=size)
    assert ended.code == 1
    assert f"{file} cannot be copied to {dest}: " in line_of(ended)
    owned = SqliteFile(file)
    try:
        ended = run_tool("backup", file, dest, max_bytes=size)
    finally:
        owned.close()
    assert ended.code == 1
    assert f"{file} cannot be copied to {dest}: " in line_of(ended)
    assert os.listdir(dest.parent) == []


def test_two_runs_do_not_meet(file: Path) -> None:
    """The second one to the same place is refused; what a killed one left goes with the next."""
    copy = file.parent / "copies" / "copy"
    with folder_beside(copy, "backup") as folder:
        assert "another run is at work in it" in refuse(file, copy)
        assert folder.is_dir()
    folder.mkdir()
    (folder / "copy.sqlite-wal").write_bytes(bytes(9999))
    assert run_tool("backup", file, copy).code == 0
    assert os.listdir(copy.parent) == ["copy"]
    assert run_tool("check", copy).code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("owned", [False, True], ids=["stopped", "running"])
def test_an_interrupted_run_leaves_nothing(
    tmp_path: Path, number: signal.Signals, code: int, owned: bool
) -> None:
    """Ended in the middle, it takes what it has made with it."""
    path, copies = tmp_path / "s", tmp_path / "copies"
    copies.mkdir()
    fill(path, *(record(index, 2000) for index in range(10_000)))
    owner = SqliteFile(path) if owned else None
    try:
        with Process(tool_command("backup", path, copies / "copy"), PATHS) as tool:
            while not list(copies.glob(".copy.backup/*")):
                assert tool.code is None
            tool.signal(number)
            assert tool.wait() == code
    finally:
        if owner is not None:
            owner.close()
    assert os.listdir(copies) == []
    assert set(os.listdir(tmp_path)) <= {"s", "s.lock", "s-wal", "s-shm", "copies"}
