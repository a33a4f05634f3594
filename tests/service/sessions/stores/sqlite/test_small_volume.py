"""A small volume: SQLite's log never fills it by itself, and when it is full nothing is lost."""

import asyncio
import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from carousel.service.errors import SessionNotFound, SettingError, StoreUnavailable
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.client import MODEL, Client, numbers, refused
from tests.harness.durable import DurableRig, copy_models, expect_lstm, open_session, serve_file
from tests.harness.rig import Rig, play, settle
from tests.harness.served import Served
from tests.harness.session_file import log_of
from tests.harness.volume import MIB, fill_up, free_bytes, small_volume

IDS = [f"s{index:02}" for index in range(20)]
# About what a step writes into the log.
STEP_BYTES = 8192


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Path]:
    """A volume of 6 MiB."""
    with small_volume(tmp_path / "volume", 6) as folder:
        yield folder


async def _open(rig: Rig) -> None:
    for each in IDS:
        await rig.open(each)


async def _round(rig: Rig) -> None:
    """A step for each session, each a commit of its own."""
    for each in IDS:
        await rig.step(each, 1)


def _read(volume: Path) -> apsw.Connection:
    """Somebody who reads until they are closed."""
    reader = apsw.Connection(str(volume / "s"), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN; SELECT count(*) FROM session").fetchall()
    return reader


@pytest.mark.parametrize(("mebibytes", "times"), [(1, 10), (6, 5), (24, 1.5)])
def test_steps_go_on_for_ever(tmp_path: Path, mebibytes: float, times: float) -> None:
    """More is written than there is room for, and the log stays a part of the room."""

    async def scenario(folder: Path) -> None:
        room = free_bytes(folder)
        async with DurableRig(folder / "s") as rig:
            await _open(rig)
            rounds, largest = 0, 0
            while rounds * len(IDS) * STEP_BYTES < times * room:
                await _round(rig)
                rounds += 1
                largest = max(largest, log_of(folder / "s").stat().st_size)
            assert await rig.total(IDS[0]) == rounds
            assert largest <= room / 3

    with small_volume(tmp_path / "volume", mebibytes) as folder:
        play(lambda: scenario(folder))


def test_a_volume_that_others_fill_is_left_to_them(volume: Path) -> None:
    """A log of a quarter of the room gives way when the room becomes less."""

    async def scenario() -> None:
        async with DurableRig(volume / "s") as rig:
            await _open(rig)
            for _ in range(40):
                await _round(rig)
            fill_up(volume, leave=MIB)
            for _ in range(40):
                await _round(rig)
            assert log_of(volume / "s").stat().st_size < MIB
            assert await rig.total(IDS[-1]) == 80

    play(scenario)


def test_what_a_long_reader_made_of_the_log_is_cut(volume: Path) -> None:
    """While somebody reads, the log cannot begin anew. Afterwards it gives the room back."""

    async def scenario() -> None:
        async with DurableRig(volume / "s") as rig:
            await _open(rig)
            reader = _read(volume)
            while log_of(volume / "s").stat().st_size < 3 * MIB:
                await _round(rig)
            reader.close(force=True)
            for _ in range(40):
                await _round(rig)
            assert log_of(volume / "s").stat().st_size < 2 * MIB

    play(scenario)


def test_a_log_that_a_reader_let_fill_the_volume_is_carried_over_afterwards(volume: Path) -> None:
    """Steps are refused at the end of it, and go on when the reader is gone."""

    async def scenario() -> None:
        async with DurableRig(volume / "s") as rig:
            await _open(rig)
            reader = _read(volume)
            done, _ = await _step_until_refused(rig)
            assert await rig.total("s00") == done
            reader.close(force=True)
            await _until_it_works(rig)
            assert await rig.total("s00") == done + 1

    play(scenario)


async def _step_until_refused(rig: Rig) -> tuple[int, StoreUnavailable]:
    """How many steps of the first session were answered, and what then was said."""
    for done in range(10_000):
        try:
            await rig.step("s00", 1)
        except StoreUnavailable as error:
            return done, error
    raise AssertionError("it never was full")


async def _until_it_works(rig: DurableRig) -> None:
    """One step of one; what asks the store once a second does so here."""
    while True:
        try:
            await rig.sqlite.ping()
            await rig.step("s00", 1, position=(await rig.info("s00")).position)
            return
        except StoreUnavailable:
            await settle()


def test_steps_go_on_where_a_stranger_fills_the_volume(volume: Path) -> None:
    """The file has the room for what its log holds, so the log begins anew where it is."""

    async def scenario() -> None:
        async with DurableRig(volume / "s") as rig:
            await _open(rig)
            await _round(rig)
            fill_up(volume)
            for done in range(300):
                await _until_it_works(rig)
                assert await rig.total("s00") == done + 2

    play(scenario)


def test_a_full_volume_refuses_steps_and_loses_none(volume: Path, tmp_path: Path) -> None:
    """With the reason; what was answered can be read, also by the next process after a kill, and
    once there is room steps go on. (Somebody reads: else the log would begin anew where it is, and
    steps would go on without any more room.)
    """

    async def scenario() -> None:
        async with DurableRig(volume / "s") as rig:
            await _open(rig)
            await _round(rig)
            reader = _read(volume)
            stranger = fill_up(volume)
            done, error = await _step_until_refused(rig)
            answered = dict.fromkeys(IDS, 1) | {"s00": 1 + done}
            assert error.hint == "the disk that holds the sessions is full"
            with pytest.raises(StoreUnavailable):
                await rig.sqlite.ping()
            with pytest.raises(StoreUnavailable):
                await rig.open("another")
            for each in IDS:
                assert await rig.total(each) == answered[each]
            (tmp_path / "killed").mkdir()
            for end in ("", "-wal", "-shm"):
                shutil.copy(f"{volume / 's'}{end}", tmp_path / "killed")
            stranger.unlink()
            await _until_it_works(rig)
            await _round(rig)
            reader.close(force=True)
        async with DurableRig(tmp_path / "killed" / "s") as rig:
            for each in IDS:
                assert await rig.total(each) == answered[each]

    play(scenario)


@pytest.mark.parametrize("at_once", [1, 64, 200])
def test_sessions_may_fill_a_volume(tmp_path: Path, at_once: int) -> None:
    """Opens are refused at the end of it, and what was answered is there. Deleting some makes room
    for others, however much was to be written in one transaction when there was no more.
    """

    async def scenario(folder: Path) -> None:
        async with DurableRig(folder / "s") as rig:
            opened = await _open_until_full(rig, at_once)
            assert len(opened) > 300
            for each in opened[::10]:
                assert (await rig.info(each)).position == 0
            for each in opened[:200]:
                await _delete(rig, each)
            for number in range(100):
                # The room is there once the log was carried over, by a thread of its own.
                while not await _is_opened(rig, f"another-{number}"):
                    await settle()

    with small_volume(tmp_path / "volume", 1) as folder:
        play(lambda: scenario(folder))


async def _open_until_full(rig: DurableRig, at_once: int) -> list[str]:
    """Open sessions with long names, until not one more of so many at once is; their names."""
    opened: list[str] = []
    for number in itertools.count():
        ids = [f"{'long' * 30}-{number}-{index}" for index in range(at_once)]
        done = await asyncio.gather(*(_is_opened(rig, each) for each in ids))
        if not any(done):
            return opened
        opened += itertools.compress(ids, done)
    raise AssertionError


async def _is_opened(rig: DurableRig, session_id: str) -> bool:
    """Open a session, if there is room for it."""
    try:
        await rig.open(session_id)
        return True
    except StoreUnavailable:
        return False


async def _delete(rig: DurableRig, session_id: str) -> None:
    """Delete; a volume that is full to the brim may take a moment to be carried over."""
    while True:
        try:
            await rig.sessions.delete("", session_id)
            return
        except StoreUnavailable:
            await settle()
        except SessionNotFound:
            # A try whose answer was lost.
            return


# SQLite's log of a file carried over and emptied, by a process that then ends and tidies nothing.
EMPTY_LOG = """
import apsw, os, sys
connection = apsw.Connection(sys.argv[1])
connection.execute("SELECT count(*) FROM session").fetchall()
connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
os._exit(0)
"""


def test_a_start_on_a_full_volume_says_so(
    repository: Path, served: dict[str, Served], tmp_path: Path, volume: Path
) -> None:
    """At once, in /readyz and in words; and that it is over, once there is room."""
    models = copy_models(repository, tmp_path / "models", MODEL)
    x = numbers(3, 10)
    with serve_file(models, volume / "s") as live:
        open_session(live.client, "a")
        Client(live.client, "a").step(x[:2], position=0)
        live.kill()
    # Nothing may be written any more, not even over what the log has.
    subprocess.run([sys.executable, "-c", EMPTY_LOG, volume / "s"], check=True)
    assert log_of(volume / "s").stat().st_size == 0
    stranger = fill_up(volume)
    with serve_file(models, volume / "s") as live:
        ready = live.client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["status"] == "store unavailable"
        assert ready.json()["reason"].endswith("the disk that holds the sessions is full")
        client = Client(live.client, "a")
        refused(client.post(x[2:], position=2), 503, "store_unavailable")
        stranger.unlink()
        live.wait_for("the session store is back")
        assert live.client.get("/readyz").json() == {"status": "ready", "refused": []}
        expect_lstm(served, client.step(x[2:], position=2)["outputs"], x[:2], x[2:])


def test_a_start_without_room_for_the_index_is_refused_in_words(volume: Path) -> None:
    """SQLite needs some pages before it can even read."""

    async def close() -> None:
        await SqliteStore(volume / "s").close()

    play(close)
    stranger = fill_up(volume)
    with pytest.raises(SettingError, match="is full: make room"):
        SqliteStore(volume / "s")
    stranger.unlink()
    play(close)
