"""What the SQLite store promises beyond what every store does: grouping, threads, its end, its
files.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from carousel.service.errors import StoreUnavailable
from carousel.service.sessions.session_record import SessionRecord
from carousel.service.sessions.stores.base import Outcome, Write
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.durable import (
    commit,
    ids_of,
    locked,
    make_record,
    next_write,
    open_records,
    outcomes_of,
)
from tests.harness.fakes import PATIENCE_S
from tests.harness.rig import play

WRITTEN, LOST = Outcome.WRITTEN, Outcome.LOST
Outcomes = Sequence[Outcome] | StoreUnavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "s"


def test_what_comes_in_meanwhile_is_one_transaction(path: Path) -> None:
    """Commits behind one that is under way go together into the next, and are told in order."""

    async def scenario() -> None:
        store = SqliteStore(path)
        records = [make_record(f"s{index}") for index in range(6)]
        await open_records(store, *records)
        before = store.stats.commits
        told: list[int] = []

        def tell(index: int) -> Callable[[Outcomes], None]:
            return lambda outcomes: told.append(index)

        with locked(path):
            for index, each in enumerate(records):
                store.commit([next_write(each)], tell(index))
        await store.close()
        assert told == list(range(6))
        # The first alone or with some that came at once, the rest together.
        assert store.stats.commits - before <= 2
        assert store.stats.rows >= 6

    play(scenario)


def test_in_one_transaction_a_later_commit_sees_an_earlier_one(path: Path) -> None:
    """Two steps of one session, and two that read the same revision, of which one counts."""

    async def scenario() -> None:
        store = SqliteStore(path)
        record = make_record("s")
        await open_records(store, record)
        first = next_write(record)
        second, rival = next_write(first.record), next_write(first.record)
        with locked(path):
            futures = [commit(store, each) for each in (first, second, rival)]
        assert [outcomes_of(each) for each in futures] == [[WRITTEN], [WRITTEN], [LOST]]
        assert await store.load(record.meta.key) == second.record
        await store.close()

    play(scenario)


def test_closing_finishes_what_was_queued(path: Path) -> None:
    """Every commit that was handed over is written and told, before the file is given up."""

    async def scenario() -> None:
        store = SqliteStore(path)
        records = [make_record(f"s{index}") for index in range(50)]
        await open_records(store, *records)
        steps = [next_write(each) for each in records]
        with locked(path):
            futures = [commit(store, each) for each in steps]
            closing = asyncio.ensure_future(store.close())
            await asyncio.sleep(0)
        await closing
        assert all(each.done() and outcomes_of(each) == [WRITTEN] for each in futures)
        again = SqliteStore(path)
        for each in steps:
            assert await again.load(each.record.meta.key) == each.record
        await again.close()

    play(scenario)


def test_an_answer_for_a_loop_that_has_ended_harms_nobody(path: Path) -> None:
    """A server that is being killed asks and is gone: the store goes on for others."""
    store = SqliteStore(path)

    async def ask() -> None:
        task = asyncio.ensure_future(store.write([Write(None, make_record("s"))]))
        await asyncio.sleep(0)
        task.cancel()

    with locked(path):
        asyncio.run(ask())

    async def others() -> None:
        await open_records(store, make_record("other"))
        assert await ids_of(store) == ["other", "s"]
        await store.close()

    play(others)


def test_engines_commit_at_once(path: Path) -> None:
    """Four threads with sessions of their own, and one session that all of them are after: of each
    revision one write counts.
    """

    async def scenario() -> None:
        store = SqliteStore(path)
        own = [make_record(f"own{index}") for index in range(4)]
        shared = [make_record("shared")]
        await open_records(store, *own, *shared)
        barrier = threading.Barrier(4)

        def engine(index: int) -> int:
            ours, num_won = own[index], 0
            for _ in range(50):
                step, rival = next_write(ours), next_write(shared[-1])
                barrier.wait(PATIENCE_S)
                written, raced = outcomes_of(commit(store, step, rival))
                assert written is WRITTEN
                ours = step.record
                if raced is WRITTEN:
                    num_won += 1
                    shared.append(rival.record)
                barrier.wait(PATIENCE_S)
            return num_won

        with ThreadPoolExecutor(4) as pool:
            won = [pool.submit(engine, index) for index in range(4)]
            await asyncio.to_thread(lambda: [each.result(PATIENCE_S) for each in won])
        assert sum(each.result() for each in won) == 50
        assert await store.load(("", "shared")) == shared[50]
        for index, each in enumerate(own):
            found = await store.load(each.meta.key)
            assert isinstance(found, SessionRecord), index
            assert found.meta.position == 50
        await store.close()

    play(scenario)


def test_a_full_disk_is_told_and_passes(path: Path) -> None:
    """The hint says what is the matter; nothing of the transaction is written, and once there is
    room again the same write counts.
    """

    async def scenario() -> None:
        store = SqliteStore(path)
        record = make_record("s")
        await open_records(store, record)
        connection = store._writer.connection
        before = connection.pragma("max_page_count")
        connection.pragma("max_page_count", connection.pragma("page_count"))
        step = next_write(record, bytes(1 << 16))
        failed = commit(store, step).result(PATIENCE_S)
        assert isinstance(failed, StoreUnavailable)
        assert failed.hint is not None
        assert "full" in failed.hint
        assert await store.load(record.meta.key) == record
        connection.pragma("max_page_count", before)
        await store.ping()
        assert outcomes_of(commit(store, step)) == [WRITTEN]
        assert await store.load(record.meta.key) == step.record
        assert store.stats.failures == 1
        await store.close()

    play(scenario)


def test_the_log_begins_anew(path: Path) -> None:
    """Some tens of megabytes after it began, while commits go on; closing leaves none."""
    log = Path(f"{path}-wal")

    async def scenario() -> None:
        store = SqliteStore(path)
        record = make_record("s")
        await open_records(store, record)
        first = _log_number(log)
        for index in range(10_000):
            # Each differs: SQLite does not write what is as it was.
            state = bytes([index % 256]) * (400_000 if index < 100 else 16)
            step = next_write(record, state)
            assert outcomes_of(commit(store, step)) == [WRITTEN]
            record = step.record
            if _log_number(log) != first:
                break
        else:
            raise AssertionError("the log never began anew")
        assert await store.load(record.meta.key) == record
        await store.close()

    play(scenario)
    assert not log.exists()


def _log_number(log: Path) -> bytes:
    """What SQLite counts up in the log's head each time that it begins anew."""
    with log.open("rb") as file:
        return file.read(16)[12:]


@pytest.mark.parametrize(("durability", "synchronous"), [("process", 1), ("disk", 2)])
def test_durability_is_what_was_asked_for(path: Path, durability: str, synchronous: int) -> None:
    """`disk` waits for it at each commit (SQLite's FULL), `process` does not (NORMAL)."""

    async def scenario() -> None:
        store = SqliteStore(path, durability="disk" if durability == "disk" else "process")
        assert store._writer.connection.pragma("synchronous") == synchronous
        assert store._writer.connection.pragma("journal_mode") == "wal"
        await store.close()

    play(scenario)


def test_nobody_else_may_read_the_files(path: Path) -> None:
    """States are their owner's: no file has rights for the group or others."""

    async def scenario() -> None:
        store = SqliteStore(path)
        await open_records(store, make_record("s"))
        modes = {each.name: each.stat().st_mode & 0o077 for each in path.parent.iterdir()}
        assert modes == dict.fromkeys(["s", "s-wal", "s-shm", "s.lock"], 0)
        await store.close()

    play(scenario)
