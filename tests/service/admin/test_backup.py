"""`carousel-sessions backup`: a copy has all that was answered before it began, whoever has the
file, and nobody who has it notices.
"""

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import apsw
import numpy as np
import pytest

from carousel.service.sessions.stores.sqlite.store import SqliteStore
from carousel.service.sessions.stores.sqlite.upkeep import backup
from carousel_client import Client
from tests.client.client_rig import F, close, run_eager
from tests.harness.client import MODEL, numbers
from tests.harness.durable import (
    commit,
    copy_models,
    flip,
    ids_of,
    make_record,
    next_write,
    open_records,
    outcomes_of,
    serve_file,
)
from tests.harness.process import PATIENCE_S
from tests.harness.rig import play
from tests.service.admin.admin import line_of, run_tool

if TYPE_CHECKING:
    from tests.harness.served import Served

NAMES = [f"s{index:02}" for index in range(20)]
FED = numbers(20_000, F, seed=21)


class Stepper:
    """A client that steps its session on and on; `answered`: time steps that it has outputs of."""

    def __init__(self, url: str, name: str) -> None:
        self.name = name
        self.answered = 0
        self._url = url
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Stepper":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with Client(self._url) as client:
            session = client.session(MODEL, session_id=self.name)
            # A hundred a second at most, so that there is a core for others.
            while not self._ending.wait(0.01) and session.position < len(FED):
                session.step(FED[session.position : session.position + 1])
                self.answered = session.position


def test_a_copy_of_a_service_under_steps_goes_on(
    repository: Path, served: "dict[str, Served]", tmp_path: Path
) -> None:
    """A service on the copy has each session where it was answered to be before, or further, with
    the state that belongs there; the one that was copied is stepped all the while.
    """
    models = copy_models(repository, tmp_path / "models", MODEL)
    with serve_file(models, tmp_path / "s") as live, Client(live.url) as client:
        idle = client.session(MODEL, session_id="idle")
        idle.step(FED[:7])
        with Stepper(live.url, "a") as one, Stepper(live.url, "b") as other:
            for copy in ("first", "second"):
                before = {"idle": 7} | {each.name: each.answered for each in (one, other)}
                ended = run_tool("backup", tmp_path / "s", tmp_path / copy)
                assert (ended.code, ended.err) == (0, "")
                assert all(each.answered > before[each.name] for each in (one, other))
        idle.step(FED[7:8])
        close(client.session_state("idle").arrays()["h"], run_eager(served, FED[:8]).h)
    assert min(before.values()) > 0
    with serve_file(models, tmp_path / "second") as live, Client(live.url) as client:
        for name, least in before.items():
            session = client.attach(name)
            at = session.position
            assert at >= least
            whole = run_eager(served, FED[: at + 2])
            close(session.step(FED[at : at + 2]), whole.output[-2:])
            close(session.state()["c"], whole.c)
    assert run_tool("check", tmp_path / "first").code == 0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A file of 20 sessions that a store has open, in a folder of its own; it is closed after."""
    path = tmp_path / "store" / "s"
    opened, done = threading.Event(), threading.Event()

    async def scenario() -> None:
        store = SqliteStore(path)
        await _fill(store)
        opened.set()
        done.wait(PATIENCE_S)
        assert await ids_of(store) == NAMES
        await store.close()

    thread = threading.Thread(target=play, args=[scenario])
    thread.start()
    assert opened.wait(PATIENCE_S)
    yield path
    done.set()
    thread.join(PATIENCE_S)
    assert [each.name for each in path.parent.iterdir()] in (["s", "s.lock"], ["s.lock", "s"])


async def _fill(store: SqliteStore) -> None:
    for name in NAMES:
        record = make_record(name, state=name.encode() * 2000)
        await open_records(store, record)
        outcomes_of(commit(store, next_write(record, name.encode() * 2000)))


def _cp(source: Path | str, target: Path | str) -> None:
    """Copy by another process: SQLite's locks would go if this one closed the file."""
    subprocess.run(["cp", source, target], check=True, timeout=PATIENCE_S)


def _killed(path: Path, folder: Path, *ends: str) -> Path:
    """What a process that is killed would leave, in a folder of its own."""
    folder.mkdir()
    for end in ("", "-wal", *ends):
        _cp(f"{path}{end}", f"{folder / 's'}{end}")
    return folder / "s"


def _content(folder: Path) -> dict[str, bytes]:
    with TemporaryDirectory() as copies:
        for name in os.listdir(folder):
            _cp(folder / name, copies)
        return {each.name: each.read_bytes() for each in Path(copies).iterdir()}


def _whole(copy: Path) -> None:
    """A store finds all sessions in the copy, one step on; nothing of the making is left."""
    assert not [each for each in os.listdir(copy.parent) if each.startswith(".")]
    found: list[object] = []

    async def scenario() -> None:
        store = SqliteStore(copy)
        for name in NAMES:
            record = await store.load(("", name))
            found.append((record.meta.position, record.state))  # type: ignore[union-attr]
        await store.close()

    play(scenario)
    assert found == [(1, name.encode() * 2000) for name in NAMES]


def test_what_is_in_the_log_is_in_the_copy(store: Path, tmp_path: Path) -> None:
    """Nearly all of the sessions are; and neither file nor log is touched."""
    before = _content(store.parent)
    assert len(before["s"]) < 20 * 4000 < len(before["s-wal"])
    ended = run_tool("backup", store, tmp_path / "copy")
    assert (ended.code, ended.err) == (0, "")
    assert "20 sessions" in ended.out
    after = _content(store.parent)
    assert [after[name] for name in ("s", "s-wal")] == [before[name] for name in ("s", "s-wal")]
    assert after.keys() == before.keys()
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o600
    assert set(os.listdir(tmp_path)) == {"store", "copy"}
    _whole(tmp_path / "copy")


def test_a_plain_copy_is_known_for_what_it_is(store: Path, tmp_path: Path) -> None:
    """`check` says that its log is missing, again and again, until what is there is kept."""
    plain = tmp_path / "plain"
    _cp(store, plain)
    for _ in range(2):
        ended = run_tool("check", plain)
        assert ended.code == 1
        assert "log         missing, and the file was in use" in ended.out
        assert "is missing" in line_of(ended)
    assert '"log_problem": "missing' in run_tool("check", plain, "--json").out
    assert run_tool("backup", plain, tmp_path / "copy").code == 1
    assert run_tool("vacuum", plain).code == 1
    assert run_tool("check", plain, "--remove-damaged").code == 0
    assert run_tool("check", plain).err == ""


@pytest.mark.parametrize("ends", [(), ("-shm",)], ids=["no-index", "index"])
def test_a_killed_service_is_copied_and_left_alone(
    store: Path, tmp_path: Path, ends: tuple[str, ...]
) -> None:
    """Its log goes into the copy, and stays where it is for the next start."""
    path = _killed(store, tmp_path / "killed", *ends)
    before = _content(path.parent)
    ended = run_tool("backup", path, tmp_path / "copy")
    assert (ended.code, ended.err) == (0, "")
    assert _content(path.parent) == before
    _whole(tmp_path / "copy")
    _whole(path)


def test_a_stopped_service_is_copied_and_left_alone(store: Path, tmp_path: Path) -> None:
    """Nothing is made beside its file, not even a lock that was not there."""
    _whole(path := _killed(store, tmp_path / "stopped"))
    Path(f"{path}.lock").unlink()
    before = _content(path.parent)
    assert before.keys() == {"s"}
    assert run_tool("backup", path, tmp_path / "copy").code == 0
    assert _content(path.parent) == before
    _whole(tmp_path / "copy")


def test_a_log_that_is_damaged_is_told(store: Path, tmp_path: Path) -> None:
    """By `backup`, which makes no copy then and leaves all as it is, and by `check`."""
    path = _killed(store, tmp_path / "killed")
    flip(Path(f"{path}-wal"), Path(f"{path}-wal").stat().st_size // 2)
    before = _content(path.parent)
    ended = run_tool("backup", path, tmp_path / "copy")
    assert (ended.code, ended.out) == (1, "")
    assert "was not copied: its log is cut short or damaged" in line_of(ended)
    assert _content(path.parent) == before
    ended = run_tool("check", path)
    assert (ended.code, "damaged     none" in ended.out) == (1, True)
    assert "log         cut short or damaged: its last" in ended.out
    assert run_tool("check", path).code == 0


def test_a_link_is_followed(store: Path, tmp_path: Path) -> None:
    """The log is beside the file that it leads to."""
    (tmp_path / "link").symlink_to(store)
    assert run_tool("backup", tmp_path / "link", tmp_path / "copy").code == 0
    _whole(tmp_path / "copy")


def test_a_service_that_starts_meanwhile_is_copied_as_one_that_runs(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was copied of its file before is given up."""
    path = _killed(store, tmp_path / "killed")
    copy_stopped, opened = backup._copy_stopped, list[SqliteStore]()

    def copy_and_start(source: Path, copy: Path) -> bool:
        done = copy_stopped(source, copy)
        opened.append(SqliteStore(path))
        outcomes_of(commit(opened[0], next_write(make_record("none"))))
        return done

    monkeypatch.setattr(backup, "_copy_stopped", copy_and_start)
    assert backup.back_up(path, tmp_path / "copy").num_sessions == 20
    (started,) = opened
    play(started.close)
    _whole(tmp_path / "copy")
    _whole(path)


def test_a_service_may_stop_while_it_is_copied(tmp_path: Path) -> None:
    """The log, which the copy still reads, stays, and its next start takes it up."""
    path = tmp_path / "s"

    async def scenario() -> None:
        store = SqliteStore(path)
        await _fill(store)
        reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        reader.execute("BEGIN; SELECT count(*) FROM session").fetchall()
        await store.close()
        assert reader.execute("SELECT count(*) FROM session").get == 20
        reader.close(force=True)

    play(scenario)
    assert Path(f"{path}-wal").stat().st_size > 0
    assert run_tool("backup", path, tmp_path / "copy").code == 0
    _whole(tmp_path / "copy")
    _cp(path, tmp_path / "plain")
    assert run_tool("check", tmp_path / "plain").code == 1
    assert run_tool("check", path).err == ""
    _whole(path)


def test_every_state_is_copied_to_the_bit(store: Path, tmp_path: Path) -> None:
    """Also over a copy from before, with --replace; and a copy of a copy is the same."""
    (tmp_path / "copy").write_text("from before")
    assert run_tool("backup", store, tmp_path / "copy", "--replace").code == 0
    assert run_tool("backup", tmp_path / "copy", tmp_path / "again").code == 0
    first, second = ((tmp_path / each).read_bytes() for each in ("copy", "again"))
    np.testing.assert_array_equal(np.frombuffer(first, "u1"), np.frombuffer(second, "u1"))
