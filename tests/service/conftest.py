"""The Redis that tests of a file share."""

from collections.abc import Iterator

import pytest

from tests.harness.redis_server import RedisServer, require_redis


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server, which holds what other tests left; skips where there is none."""
    require_redis()
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server
