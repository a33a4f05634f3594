"""Opens the store that the settings ask for, and no other: never memory for want of a better."""

import logging
from pathlib import Path
from typing import Literal

from carousel.service.sessions.stores.base import Store
from carousel.service.sessions.stores.memory import MemoryStore
from carousel.service.sessions.stores.routed import RoutedStore
from carousel.service.store_address import StoreAddress

log = logging.getLogger("carousel.store")

_FILE = "sessions.sqlite"


def open_store(
    address: StoreAddress,
    *,
    data_dir: Path,
    durability: Literal["process", "disk"],
    store_bytes: int,
    memory_models: frozenset[str],
    redis_password: str,
    redis_unsafe: bool,
) -> Store:
    """The store at an address, ready for work; sessions of `memory_models` stay in memory.

    Raises SettingError where it cannot be had.
    """
    durable: Store
    if address.kind == "memory":
        log.info("sessions are kept in memory: a restart loses them")
        return MemoryStore(store_bytes)
    if address.kind == "sqlite":
        durable = _open_sqlite(address.file or data_dir / _FILE, durability)
    else:
        durable = _open_redis(address, redis_password, redis_unsafe)
    if not memory_models:
        return durable
    log.info(
        "sessions of %s stay in memory: a restart loses them", ", ".join(sorted(memory_models))
    )
    return RoutedStore(durable, MemoryStore(store_bytes, durable.clock), memory_models)


def _open_sqlite(path: Path, durability: Literal["process", "disk"]) -> Store:
    # Whoever keeps sessions elsewhere needs no SQLite.
    from carousel.service.sessions.stores.sqlite.store import SqliteStore

    store = SqliteStore(path, durability=durability)
    log.info("sessions are kept in %s, durability %s", path.absolute(), durability)
    return store


def _open_redis(address: StoreAddress, password: str, unsafe: bool) -> Store:
    # Its library takes long to import, and few services need it.
    from carousel.service.sessions.stores.redis.store import RedisStore

    store = RedisStore(address.url, password=password or None, unsafe=unsafe)
    log.info("sessions are kept at %s", address)
    return store
