"""A session file has one name and one owner. By two names each process had a log of its own, and of
the steps that both answered half were lost.
"""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from carousel.service.errors import SettingError, StoreUnavailable
from carousel.service.sessions.stores.sqlite import log_bound
from carousel.service.sessions.stores.sqlite.file import SqliteFile
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.client import MODEL, Client, numbers
from tests.harness.durable import (
    DurableRig,
    copy_models,
    make_sound,
    open_session,
    serve_file,
)
from tests.harness.live import run_to_end
from tests.harness.rig import play, sums
from tests.harness.session_file import ids_at_start

NEEDS_MOUNTS = "needs the right to mount (root, with CAP_SYS_ADMIN)"


def _refuse(path: Path) -> str:
    """What is said of a file that is not taken."""
    with pytest.raises(SettingError) as caught:
        SqliteFile(path)
    assert caught.value.setting == "CAROUSEL_STORE"
    return str(caught.value)


def _make(path: Path) -> Path:
    SqliteFile(path).close()
    return path


@contextmanager
def mounted(source: Path, target: Path) -> Iterator[None]:
    """A file at another place too, with one link."""
    target.touch()
    try:
        done = subprocess.run(["mount", "--bind", source, target], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip(NEEDS_MOUNTS)
    if done.returncode != 0:
        pytest.skip(f"{NEEDS_MOUNTS}: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


def test_a_file_with_a_hard_link_is_refused(tmp_path: Path) -> None:
    """By each of its names, with what to do; once one is left, it is taken."""
    path = _make(tmp_path / "s")
    (tmp_path / "folder").mkdir()
    twin = tmp_path / "folder" / "twin"
    os.link(path, twin)
    for name in (path, twin):
        text = _refuse(name)
        assert f"{name} has 2 names (hard links)" in text
        assert f"find FOLDER -samefile {name}" in text
    assert not Path(f"{twin}.lock").exists()
    twin.unlink()
    _make(path)


def test_a_second_service_by_a_link_made_meanwhile_is_refused(
    repository: Path, tmp_path: Path
) -> None:
    """The first one serves on, and says in its log that there is another name."""
    models = copy_models(repository, tmp_path / "models", MODEL)
    path, twin = tmp_path / "s", tmp_path / "twin"
    with serve_file(models, path) as live:
        open_session(live.client, "a")
        os.link(path, twin)
        ended = run_to_end(["--model-repository", str(models), "--store", f"sqlite:{twin}"])
        assert (ended.code, ended.out) == (3, "")
        assert "2 names (hard links)" in ended.err
        live.wait_for("has 2 names (hard links) now")
        Client(live.client, "a").step(numbers(1, 10), position=0)
        assert live.client.get("/readyz").status_code == 200
    assert "2 names" in _refuse(path)
    twin.unlink()
    with serve_file(models, path) as live:
        assert Client(live.client, "a").position == 1


def test_a_file_that_is_mounted_elsewhere_has_one_owner(tmp_path: Path) -> None:
    """It has one link, and a lock beside each of its two places."""
    path, other = _make(tmp_path / "s"), tmp_path / "other"
    with mounted(path, other):
        for first, second in ((path, other), (other, path)):
            owned = SqliteFile(first)
            assert "another process owns" in _refuse(second)
            owned.close()
        _make(other)


def test_two_folders_that_are_one_have_one_lock(tmp_path: Path) -> None:
    """By a link to the folder."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    owned = SqliteFile(tmp_path / "a" / "s")
    assert "another process" in _refuse(tmp_path / "b" / "s")
    owned.close()


def test_a_copy_is_another_file(tmp_path: Path) -> None:
    """Also one that shares its blocks, where the file system can."""
    path, copy = _make(tmp_path / "s"), tmp_path / "copy"
    subprocess.run(["cp", "--reflink=auto", path, copy], check=True)
    first, second = SqliteFile(path), SqliteFile(copy)
    first.close()
    second.close()


def _symlink(beside: Path, elsewhere: Path) -> None:
    beside.symlink_to(elsewhere)


def _hard_link(beside: Path, elsewhere: Path) -> None:
    os.link(elsewhere, beside)


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal", ".lock"])
@pytest.mark.parametrize("link", [_symlink, _hard_link])
def test_what_lies_beside_the_file_is_no_link(
    tmp_path: Path, end: str, link: Callable[[Path, Path], None]
) -> None:
    """Two files would share a log, or the owner's number would be written into somebody's file."""
    path, elsewhere = _make(tmp_path / "s"), tmp_path / "elsewhere"
    elsewhere.write_bytes(b"not yours")
    beside = Path(f"{path}{end}")
    beside.unlink(missing_ok=True)
    link(beside, elsewhere)
    text = _refuse(path)
    assert str(beside) in text
    assert "link" in text
    assert elsewhere.read_bytes() == b"not yours"


def test_a_new_file_beside_a_lock_that_is_a_link_is_not_made(tmp_path: Path) -> None:
    """Nor is anything written where the link leads."""
    (tmp_path / "elsewhere").write_bytes(b"not yours")
    (tmp_path / "s.lock").symlink_to("elsewhere")
    assert "cannot be written" in _refuse(tmp_path / "s")
    assert (tmp_path / "elsewhere").read_bytes() == b"not yours"
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("harm", ["move", "delete", "replace"])
def test_a_file_that_goes_while_it_is_in_use_is_told(
    tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is answered from then on nobody would find again."""
    path = tmp_path / "s"

    async def scenario() -> None:
        store = SqliteStore(path)
        await store.ping()
        if harm == "move":
            path.rename(tmp_path / "moved")
        elif harm == "delete":
            path.unlink()
        else:
            _make(tmp_path / "new").replace(path)
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="moved, deleted or replaced"):
                await store.ping()
        assert caplog.text.count("will not be found by the next start") == 1
        if harm == "move":
            (tmp_path / "moved").rename(path)
            await store.ping()
        await store.close()

    play(scenario)


def test_a_folder_that_goes_away_fails_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is open, and what is written into it counts once the folder is back."""
    folder = tmp_path / "folder"

    async def scenario() -> None:
        async with DurableRig(folder / "s") as rig:
            await rig.open("a")
            folder.rename(tmp_path / "moved")
            for total in range(1, 200):
                assert sums(await rig.step("a", 1)) == [total]
            with pytest.raises(StoreUnavailable, match="moved, deleted or replaced"):
                await rig.sqlite.ping()
            (tmp_path / "moved").rename(folder)
            await rig.sqlite.ping()
        async with DurableRig(folder / "s", rig.clock) as rig:
            assert await rig.total("a") == 199

    # A look at the room for each commit.
    monkeypatch.setattr(log_bound, "_BEGIN_PAGES", 4)
    play(scenario)


def test_the_owner_by_another_name_is_found_by_the_next_one(tmp_path: Path) -> None:
    """And what was answered is there, by the name that is left."""
    path = tmp_path / "s"
    play(lambda: make_sound(path))
    os.link(path, tmp_path / "twin")
    path.unlink()
    assert len(ids_at_start(tmp_path / "twin")) == 24
