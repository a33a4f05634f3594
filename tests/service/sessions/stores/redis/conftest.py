"""Redis as the tests of its store need it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.harness.redis_server import RedisServer, require_redis


@pytest.fixture
def client(redis: RedisServer) -> Iterator[Redis]:
    """Looks behind the store, at the shared server, which is empty."""
    with redis.client() as client:
        client.flushall()
        yield client


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own."""
    require_redis()
    with RedisServer(tmp_path) as server:
        yield server
