"""A session file that cannot be used is refused at the start, in one line that says what to do;
nothing is kept in memory instead, and nothing of anybody else's is touched.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import pytest

from carousel.service.errors import SettingError
from carousel.service.sessions.stores.sqlite.file import FORMAT
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from carousel.service.store_address import parse_address
from tests.harness.client import MODEL, Client, numbers
from tests.harness.durable import (
    PAGE,
    DurableRig,
    copy_models,
    flip,
    open_session,
    overwrite,
    serve_file,
)
from tests.harness.live import run_to_end
from tests.harness.rig import play, sums

NOBODY = 65534


def _refuse(path: Path) -> str:
    """What is said of a file that is not taken."""
    with pytest.raises(SettingError) as caught:
        SqliteStore(path)
    assert caught.value.setting == "CAROUSEL_STORE"
    assert str(path) in str(caught.value)
    return str(caught.value)


def _refuse_start(models: Path, path: Path) -> str:
    """Start the program on the file; the one line that it ends with."""
    ended = run_to_end(["--model-repository", str(models), "--store", f"sqlite:{path}"])
    assert (ended.code, ended.out) == (3, "")
    (line,) = ended.err.splitlines()
    assert line.startswith("carousel-serve: CAROUSEL_STORE: "), line
    assert str(path) in line
    return line


def _fill(path: Path, *statements: str) -> bytes:
    """Make an SQLite file as others do; returns its bytes."""
    connection = apsw.Connection(str(path))
    for each in statements:
        connection.execute(each)
    connection.close()
    return path.read_bytes()


def _make_store(path: Path) -> None:
    """A session file with one session, closed."""

    async def scenario() -> None:
        async with DurableRig(path) as rig:
            await rig.open("s")
            await rig.step("s", 5)

    play(scenario)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    """A path is a file's."""
    (tmp_path / "s").mkdir()
    assert "Is a directory" in _refuse_start(tmp_path, tmp_path / "s")


@pytest.mark.parametrize("parent", ["a file", "/proc/nowhere"])
def test_a_place_where_nothing_can_be_made_is_refused(tmp_path: Path, parent: str) -> None:
    """Also for those who may write everywhere."""
    (tmp_path / "a file").write_text("x")
    assert "cannot be written" in _refuse(tmp_path / parent / "s")


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES ('theirs')"],
        ["PRAGMA application_id = 7", "PRAGMA user_version = 3"],
        ["PRAGMA journal_mode = wal", "CREATE TABLE session (id INTEGER PRIMARY KEY)"],
    ],
    ids=["tables", "application-id", "our-tables-name"],
)
def test_a_file_of_another_application_is_refused(tmp_path: Path, statements: list[str]) -> None:
    """And it is what it was, with nothing beside it."""
    path = tmp_path / "s"
    before = _fill(path, *statements)
    assert "another application" in _refuse(path)
    assert [each.name for each in tmp_path.iterdir()] == ["s"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("data", [b"x", b"SQLite format 2\0", bytes(8192), b"{}" * 9999])
def test_what_is_no_sqlite_file_is_refused(tmp_path: Path, data: bytes) -> None:
    """And it is what it was, with nothing beside it but a lock that was there before."""
    path = tmp_path / "s"
    path.write_bytes(data)
    assert "is not an SQLite file; name another, or move it away" in _refuse(path)
    assert path.read_bytes() == data
    assert [each.name for each in tmp_path.iterdir()] == ["s"]
    lock = tmp_path / "s.lock"
    lock.touch()
    _refuse(path)
    assert lock.exists()


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """An older program must not write what a newer one reads."""
    path = tmp_path / "s"
    _make_store(path)
    before = _fill(path, f"PRAGMA user_version = {FORMAT + 1}")
    assert f"has format {FORMAT + 1}" in _refuse(path)
    assert path.read_bytes() == before


def test_a_file_that_another_process_owns_is_refused(repository: Path, tmp_path: Path) -> None:
    """Who owns it is told, and what to do; the owner goes on."""
    path = tmp_path / "s"
    models = copy_models(repository, tmp_path / "models", MODEL)
    with serve_file(models, path) as live:
        open_session(live.client, "s")
        line = _refuse_start(models, path)
        assert f"pid {live.pid}" in line
        assert "redis" in line
        Client(live.client, "s").step(numbers(2, 10), position=0)


def test_a_file_has_one_owner_whatever_it_is_called(tmp_path: Path) -> None:
    """A link to it is the same file."""
    path, alias = tmp_path / "s", tmp_path / "alias"
    alias.symlink_to(path)

    async def scenario() -> None:
        async with DurableRig(path) as rig:
            await rig.open("s")
            with pytest.raises(SettingError, match=f"pid {os.getpid()}"):
                SqliteStore(alias)
            await rig.step("s", 1)

    play(scenario)


def test_a_file_of_another_application_that_was_cut_short_is_left_alone(tmp_path: Path) -> None:
    """What is mended is ours; whose a file is stands in its first page."""
    path = tmp_path / "s"
    whole = _fill(path, "PRAGMA application_id = 7", "CREATE TABLE t (x)", "CREATE TABLE u (x)")
    path.write_bytes(whole[: 2 * PAGE])
    _refuse(path)
    assert path.read_bytes() == whole[: 2 * PAGE]


def test_an_emptied_file_beside_its_log_is_refused(tmp_path: Path) -> None:
    """The sessions are in the log: to begin anew would delete it without a word."""
    path, kept = tmp_path / "s", tmp_path / "kept"

    async def scenario() -> None:
        async with DurableRig(path) as rig:
            await rig.open("s")
            kept.write_bytes((tmp_path / "s-wal").read_bytes())

    play(scenario)
    assert kept.stat().st_size > PAGE
    kept.rename(tmp_path / "s-wal")
    path.write_bytes(b"")
    _refuse(path)


def test_a_file_that_sqlite_only_reads_is_refused(tmp_path: Path) -> None:
    """Its header says that it is of an SQLite to come: then nothing can be written."""
    path = tmp_path / "s"
    _make_store(path)
    flip(path, 18, 0x04)
    _refuse(path)


def test_tables_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    """A letter of a column's name is another: nothing could be read or written, ever."""
    path = tmp_path / "s"
    _make_store(path)
    at = path.read_bytes().index(b"head BLOB")
    flip(path, at + 2, 0x02)
    _refuse(path)


@pytest.mark.parametrize("offset", [28, 29, 30])
def test_a_file_never_grows_to_what_a_damaged_header_says(tmp_path: Path, offset: int) -> None:
    """A number of pages that is out of all reason is not believed, and makes no file of
    terabytes: refused, or served as it is.
    """
    path = tmp_path / "s"
    _make_store(path)
    overwrite(path, offset, b"\x7f")
    before = path.stat().st_size

    async def scenario() -> None:
        async with DurableRig(path) as rig:
            assert sums(await rig.step("s", 1)) == [6]

    with suppress(SettingError):
        play(scenario)
    after = path.stat().st_size
    path.unlink()
    assert after <= before + 16 * PAGE


Forbid = Callable[[Path], None]
FORBIDDEN: dict[str, Forbid] = {
    "file": lambda path: path.chmod(0o444),
    "folder": lambda path: path.parent.chmod(0o555),
}


@pytest.mark.parametrize("forbid", FORBIDDEN.values(), ids=FORBIDDEN)
def test_what_may_not_be_written_is_refused(forbid: Forbid) -> None:
    """A file or a folder that is only for reading."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s"
        path.parent.chmod(0o777)
        path.touch(0o666)
        forbid(path)
        with _as_nobody(), pytest.raises(SettingError, match=r"written|writable"):
            SqliteStore(path)


@pytest.mark.parametrize("name", [":memory:", "file:s?mode=memory", "s?mode=ro", "~"])
def test_a_path_is_nothing_but_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What SQLite or a shell would take for something else is the name of a file."""
    monkeypatch.chdir(tmp_path)
    path = parse_address(f"sqlite:{name}").file
    assert path is not None
    _make_store(path)
    assert (tmp_path / name).stat().st_size > PAGE

    async def scenario() -> None:
        async with DurableRig(path) as rig:
            assert sums(await rig.step("s", 1, position=1)) == [6]

    play(scenario)


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Without the rights of the superuser, should the tests have them."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
