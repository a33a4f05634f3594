"""A session file and what stands beside it, as tests look at them from outside."""

from pathlib import Path

from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.durable import ids_of
from tests.harness.rig import play


def log_of(path: Path) -> Path:
    """SQLite's log of a file."""
    return Path(f"{path}-wal")


def ids_at_start(path: Path) -> list[str]:
    """The ids that a store has of a file; it is opened for them and closed."""
    found: list[str] = []

    async def scenario() -> None:
        store = SqliteStore(path)
        found.extend(await ids_of(store))
        await store.close()

    play(scenario)
    return found
