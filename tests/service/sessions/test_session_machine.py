"""The random walks of session_machine.py on every store."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from carousel.service.sessions.stores.base import Store
from carousel.service.sessions.stores.redis.store import RedisStore
from carousel.service.sessions.stores.sqlite.store import SqliteStore
from tests.harness.redis_server import RedisServer
from tests.harness.session_machine import DurableMachine, SessionMachine


class SqliteMachine(DurableMachine):
    """On a file."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()

    def make_store(self) -> Store:
        """The file, opened again."""
        return SqliteStore(Path(self.folder.name) / "sessions.sqlite")

    def teardown(self) -> None:
        """And the file is gone."""
        super().teardown()
        self.folder.cleanup()


class RedisMachine(DurableMachine):
    """On a server that is emptied before each walk."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        with self.server.client() as client:
            client.flushall()

    def make_store(self) -> Store:
        """The same server."""
        return RedisStore(self.server.url)


def _settings(max_examples: int) -> settings:
    return settings(
        max_examples=max_examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


TestOnMemory = SessionMachine.TestCase
TestOnMemory.settings = _settings(40)
TestOnSqlite = SqliteMachine.TestCase
TestOnSqlite.settings = _settings(40)


def test_on_redis(redis: RedisServer) -> None:
    """The same on a real Redis, where every refusal, replay and read looks at the store again."""

    class Machine(RedisMachine):
        server = redis

    run_state_machine_as_test(Machine, settings=_settings(25))
