"""`carousel-sessions check` and `vacuum`: damage is found and named, and what is sound stays."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest
from safetensors.numpy import load, save

from carousel.service.sessions.session_record import SessionIdentity, SessionMeta, SessionRecord
from carousel.service.sessions.stores.base import Write
from carousel.service.sessions.stores.sqlite.file import SqliteFile
from carousel.service.sessions.stores.sqlite.rows import SessionRows
from carousel.service.sessions.stores.sqlite.upkeep.size import require_room
from carousel.service.sessions.stores.sqlite.upkeep.trouble import Trouble
from tests.harness.client import MODEL, TENSORS
from tests.harness.live import Live
from tests.service.admin.admin import line_of, run_tool

PAGE = 4096
NUM_SESSIONS = 300


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A session file of 300 sessions and a tombstone, as a service that was stopped leaves it."""
    path = tmp_path / "sessions.sqlite"
    owned = SqliteFile(path)
    connection = owned.connect()
    rows = SessionRows(connection)
    with connection:
        rows.put_all([Write(None, record(index)) for index in range(NUM_SESSIONS + 1)])
        place = 1 + NUM_SESSIONS
        rows.bury(place, record(NUM_SESSIONS).meta, record(NUM_SESSIONS).meta.expires_at)
    connection.close()
    owned.close()
    assert set(os.listdir(tmp_path)) == {"sessions.sqlite", "sessions.sqlite.lock"}
    yield path
    # Whatever was done, nothing is left beside the file.
    assert set(os.listdir(tmp_path)) == {"sessions.sqlite", "sessions.sqlite.lock"}


def record(index: int) -> SessionRecord:
    """A session that looks like no other."""
    identity = SessionIdentity(("default", f"s-{index:03d}"), MODEL, "weights", 1.7e9, 3600.0)
    revision = index.to_bytes(16, "big")
    replies = b"r" * (index % 50)
    state = np.full(100, index, "<f4").tobytes()
    return SessionRecord(SessionMeta(identity, 1, revision, index, 1.7e9 + index, replies), state)


def read_all(path: Path) -> dict[str, object]:
    """What the store finds under each of the ids."""
    owned = SqliteFile(path)
    connection = owned.connect()
    try:
        rows = SessionRows(connection)
        return {
            key[1]: rows.find(key)
            for index in range(NUM_SESSIONS + 1)
            for key in [record(index).meta.key]
        }
    finally:
        connection.close()
        owned.close()


def check(path: Path, *flags: str) -> tuple[int, Any]:
    """The exit code, and what the check says to machines."""
    ended = run_tool("check", path, "--json", *flags)
    assert ended.err == ""
    return ended.code, json.loads(ended.out)


def test_sound_file(file: Path) -> None:
    """A sound file is counted: 0, and it is as it was."""
    before = file.read_bytes()
    code, found = check(file)
    assert code == 0
    assert found == {
        "file": str(file),
        "format": 1,
        "file_bytes": len(before),
        "log_bytes": 0,
        "sessions": NUM_SESSIONS,
        "state_bytes": NUM_SESSIONS * 400,
        "tombstones": 1,
        "structure": [],
        "damaged": [],
        "removed": False,
    }
    assert check(file, "--remove-damaged") == (code, found)
    assert file.read_bytes() == before
    ended = run_tool("check", file)
    assert ended.code == 0
    assert "300 sound" in ended.out
    assert "damaged     none" in ended.out


def test_flipped_bit_is_found_and_named(file: Path) -> None:
    """One bit in one state: its session is named, and all others stay to the bit."""
    content = bytearray(file.read_bytes())
    at = content.index(np.full(100, 123, "<f4").tobytes()) + 77
    content[at] ^= 4
    file.write_bytes(content)
    code, found = check(file)
    assert (code, found["sessions"], found["structure"]) == (1, NUM_SESSIONS - 1, [])
    assert found["damaged"] == [{"tenant": "default", "session_id": "s-123"}]
    shown = run_tool("check", file)
    assert shown.code == 1
    assert "damaged     s-123\n" in shown.out
    assert "--remove-damaged" in shown.out
    assert file.read_bytes() == content
    assert line_of(run_tool("vacuum", file)).startswith(f"{file} is damaged")
    code, found = check(file, "--remove-damaged")
    assert (code, found["removed"]) == (0, True)
    expected: dict[str, object] = {
        record(index).meta.id: record(index) for index in range(NUM_SESSIONS) if index != 123
    }
    left = read_all(file)
    assert left.pop("s-123") is None
    assert left.pop("s-300") is not None
    assert left == expected
    assert check(file)[0] == 0


@pytest.mark.parametrize("share", [0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 0.99])
def test_lost_page_costs_its_own_sessions(file: Path, share: float) -> None:
    """Whichever page is lost, all else is kept to the bit, and the ids of the rest are free."""
    content = bytearray(file.read_bytes())
    start = int(len(content) // PAGE * share) * PAGE
    content[start : start + PAGE] = bytes(PAGE)
    file.write_bytes(content)
    code, found = check(file)
    assert code == 1
    assert found["structure"] or found["damaged"]
    assert NUM_SESSIONS * 0.9 < found["sessions"] <= NUM_SESSIONS
    assert found["sessions"] + len(found["damaged"]) == NUM_SESSIONS
    assert check(file, "--remove-damaged")[0] == 0
    left = {name: each for name, each in read_all(file).items() if isinstance(each, SessionRecord)}
    assert len(left) == found["sessions"]
    for name, each in left.items():
        assert each == record(int(name[2:]))
    lost = {each["session_id"] for each in found["damaged"]}
    assert lost == {record(index).meta.id for index in range(NUM_SESSIONS)} - left.keys()


def test_file_that_was_cut_short(file: Path) -> None:
    """Half a file: what is left of it is kept, and the file serves again."""
    os.truncate(file, file.stat().st_size // PAGE // 2 * PAGE)
    ended = run_tool("check", file, "--json", "--remove-damaged")
    assert ended.code == 0
    assert "cut short" in line_of(ended)
    found = json.loads(ended.out)
    assert found["removed"]
    assert 0 < found["sessions"] < NUM_SESSIONS
    left = [each for each in read_all(file).values() if isinstance(each, SessionRecord)]
    assert len(left) == found["sessions"]
    assert all(each == record(each.meta.position) for each in left)


def test_vacuum_gives_free_space_back(file: Path) -> None:
    """After most sessions went, the file shrinks; the others stay to the bit, in the same file."""
    connection = apsw.Connection(str(file))
    connection.execute("DELETE FROM session WHERE id % 10 <> 1")
    connection.close()
    os.chmod(file, 0o640)
    before, size = file.stat(), file.stat().st_size
    ended = run_tool("vacuum", file)
    assert (ended.code, ended.err) == (0, "")
    after = file.stat()
    assert after.st_size < size / 4
    assert f"{size / 1000:.1f} kB before, {after.st_size / 1000:.1f} kB now" in ended.out
    assert (after.st_ino, after.st_mode, after.st_uid) == (
        before.st_ino,
        before.st_mode,
        before.st_uid,
    )
    left = [each for each in read_all(file).values() if isinstance(each, SessionRecord)]
    assert left == [record(index) for index in range(0, NUM_SESSIONS, 10)]


@pytest.mark.parametrize("verb", ["check", "vacuum"])
def test_file_in_use_is_refused(file: Path, verb: str) -> None:
    """While somebody owns the file nothing is read, let alone written."""
    owned = SqliteFile(file)
    try:
        ended = run_tool(verb, file)
        assert ended.code == 1
        assert str(os.getpid()) in line_of(ended)
        assert str(file) in line_of(ended)
    finally:
        owned.close()
    assert run_tool(verb, file).code == 0


def test_no_session_file(tmp_path: Path) -> None:
    """What is no session file is refused and stays as it is; nothing is left beside it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no database, only text of some length " * 100)
    other = apsw.Connection(str(tmp_path / "other"))
    other.execute("CREATE TABLE mine (x)")
    other.close()
    before = {name: (tmp_path / name).read_bytes() for name in ("text", "other")}
    for verb in ("check", "vacuum"):
        for name in ("missing", "folder", "text", "other", "missing/x"):
            ended = run_tool(verb, tmp_path / name)
            assert ended.code == 1, name
            assert str(tmp_path / name) in line_of(ended)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert set(os.listdir(tmp_path)) == {"folder", "text", "other"}


def test_room_is_asked_for_first(tmp_path: Path) -> None:
    """A disk without the space that is needed is said so, in numbers."""
    require_room(tmp_path, 1)
    with pytest.raises(Trouble, match=r"1000000\.0 TB of free disk space are needed"):
        require_room(tmp_path, 10**18)


@pytest.mark.parametrize("share", [0.2, 0.7, 1.003])
def test_full_disk_leaves_the_file(file: Path, share: float) -> None:
    """Wherever the space ends, the file stays as it was."""
    before = file.read_bytes()
    ended = run_tool("vacuum", file, max_bytes=int(len(before) * share))
    assert ended.code == 1
    assert str(file) in line_of(ended)
    assert file.read_bytes() == before
    assert run_tool("vacuum", file).code == 0


def test_killed_run_leaves_nothing_behind(file: Path) -> None:
    """What a run that was killed left beside the file goes with the next."""
    left = file.with_name(f".{file.name}.rewrite")
    left.mkdir()
    (left / "copy.sqlite").write_bytes(bytes(10_000))
    assert run_tool("vacuum", file).code == 0
    assert not left.exists()


def test_damaged_session_of_a_service(repository: Path, tmp_path: Path) -> None:
    """A service's own file: in use it is refused; once stopped, the damaged session is removed, and
    its id can be opened again while the others go on.
    """
    path = tmp_path / "sessions.sqlite"
    state = np.full((2, 20), 0.7512345, np.float32)
    with Live(repository, "--store", f"sqlite:{path}") as live:
        for name in ("hurt", "well"):
            live.client.post("/v1/sessions", json={"model": MODEL, "session_id": name})
        body = save({"state.h": state, "state.c": state})
        headers = TENSORS | {"Carousel-Position": "5"}
        live.client.put("/v1/sessions/well/state", content=body, headers=headers)
        marked = save({"state.h": -state, "state.c": -state})
        live.client.put("/v1/sessions/hurt/state", content=marked, headers=headers)
        assert run_tool("check", path).code == 1
        live.signal(signal.SIGTERM)
        assert live.wait() == 0
    content = bytearray(path.read_bytes())
    mark = (-state).tobytes()
    assert mark in content
    content[content.index(mark)] ^= 1
    path.write_bytes(content)
    code, found = check(path, "--remove-damaged")
    assert (code, found["sessions"]) == (0, 1)
    assert [each["session_id"] for each in found["damaged"]] == ["hurt"]
    assert run_tool("vacuum", path).code == 0
    with Live(repository, "--store", f"sqlite:{path}") as live:
        accept = {"Accept": TENSORS["Content-Type"]}
        read = live.client.get("/v1/sessions/well/state", headers=accept)
        assert read.headers["carousel-position"] == "5"
        assert load(read.content)["state.h"].tobytes() == state.tobytes()
        opened = live.client.post("/v1/sessions", json={"model": MODEL, "session_id": "hurt"})
        assert opened.status_code == 201, opened.text
