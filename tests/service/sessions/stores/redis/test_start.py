"""The Redis store at its start: what it refuses, what it says, and what it never says."""

import asyncio
import http.server
import logging
import threading
import time
from pathlib import Path

import pytest

from carousel.service.errors import SettingError
from carousel.service.sessions.stores.redis.store import RedisStore
from tests.harness.process import free_port
from tests.harness.redis_server import RedisServer, require_redis
from tests.harness.rig import play

PASSWORD = "correct-horse-battery"


@pytest.fixture(autouse=True)
def _redis_is_here() -> None:
    require_redis()


def _refusal(url: str, **options: str | bool) -> str:
    """What a start is refused with."""
    with pytest.raises(SettingError) as caught:
        RedisStore(url, **options)  # type: ignore[arg-type]  # each test gives what it means
    assert caught.value.setting == "CAROUSEL_STORE"
    return str(caught.value)


def _start(url: str, **options: str | bool) -> str:
    """Start and stop a store; returns how it shows itself."""
    shown: list[str] = []

    async def scenario() -> None:
        store = RedisStore(url, **options)  # type: ignore[arg-type]  # as above
        shown.append(repr(store))
        await store.ping()
        await store.close()

    play(scenario)
    return shown[0]


def test_an_address_where_nobody_listens_is_refused() -> None:
    """The text names the address and what to do."""
    port = free_port()
    text = _refusal(f"redis://127.0.0.1:{port}")
    assert f"redis://127.0.0.1:{port} cannot be reached" in text
    assert "start Redis there, or mend the address" in text


def test_a_server_that_is_not_redis_is_refused() -> None:
    """A web server's answer is no reply of Redis."""

    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            text = _refusal(f"redis://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()
    assert "does not answer as Redis does" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--appendonly", "no"), "CONFIG SET appendonly yes"),
        (("--maxmemory-policy", "allkeys-lru"), "CONFIG SET maxmemory-policy noeviction"),
        (("--maxmemory-policy", "volatile-ttl", "--maxmemory", "100mb"), "volatile-ttl"),
    ],
)
def test_a_server_that_may_lose_sessions_is_refused(
    arguments: tuple[str, ...],
    expected: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The text says which setting mends it; told to, the store takes the server and warns."""
    with RedisServer(tmp_path, *arguments) as server:
        text = _refusal(server.url)
        assert expected in text
        assert "--redis-unsafe" in text
        with caplog.at_level(logging.WARNING, "carousel.store"):
            _start(server.url, unsafe=True)
        assert expected in caplog.text


def test_where_config_is_forbidden_info_is_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As on managed services: what is not safe is refused, what cannot be known is said."""
    with RedisServer(tmp_path, "--rename-command", "CONFIG", "") as server:
        with caplog.at_level(logging.INFO, "carousel.store"):
            _start(server.url)
        assert "could not be found out (CONFIG is forbidden)" in caplog.text
    forbidden = ("--rename-command", "CONFIG", "")
    lossy = ("--appendonly", "no", "--maxmemory-policy", "allkeys-lfu")
    with RedisServer(tmp_path, *forbidden, *lossy) as server:
        text = _refusal(server.url)
        assert "CONFIG SET appendonly yes" in text
        assert "allkeys-lfu" in text


def test_a_user_who_may_not_ask_is_told_what_is_unknown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without INFO and CONFIG the store starts and says what it could not find out."""
    with RedisServer(tmp_path) as server:
        with server.client() as client:
            client.execute_command(
                *("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~carousel:*", "+@all"),
                *("-info", "-config"),
            )
        with caplog.at_level(logging.INFO, "carousel.store"):
            _start(server.url.replace("://", "://app@"), password=PASSWORD)
        assert caplog.text.count("could not be found out") == 3


def test_where_redis_may_not_be_asked_its_time_the_machines_will_do(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The start says so, and the store works."""

    async def use(url: str) -> None:
        store = RedisStore(url, password=PASSWORD)
        await store.ping()
        assert store.clock() == pytest.approx(time.time(), abs=0.5)
        await store.close()

    with RedisServer(tmp_path) as server:
        with server.client() as client:
            client.execute_command(
                *("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~carousel:*", "+@all", "-time"),
            )
        with caplog.at_level(logging.WARNING, "carousel.store"):
            asyncio.run(use(server.url.replace("://", "://app@")))
        assert "sessions go by this machine's clock" in caplog.text
        assert "failed" not in caplog.text


@pytest.mark.parametrize(
    ("fsync", "expected"),
    [
        ("always", "survives a power loss of Redis' machine"),
        ("everysec", "up to 2 s of steps are at risk"),
        ("no", "has not yet written by itself is at risk"),
    ],
)
def test_the_level_is_said(
    fsync: str, expected: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what an answered step survives."""
    with RedisServer(tmp_path, "--appendfsync", fsync) as server:
        with caplog.at_level(logging.INFO, "carousel.store"):
            _start(server.url)
        assert f"appendfsync {fsync}: " in caplog.text
        assert expected in caplog.text
        assert "replica" not in caplog.text


def test_replicas_are_no_shelter_and_no_primaries(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A replica is refused; its primary is taken, and the log says what a failover may lose."""
    folders = (tmp_path / "primary", tmp_path / "replica")
    for folder in folders:
        folder.mkdir()
    with RedisServer(folders[0], "--repl-diskless-sync-delay", "0") as primary:
        follow = ("--replicaof", "127.0.0.1", str(primary.port))
        with RedisServer(folders[1], *follow) as replica, primary.client() as client:
            assert client.wait(1, 4000) == 1
            assert "is a replica, which takes no writes" in _refusal(replica.url, unsafe=True)
            with caplog.at_level(logging.INFO, "carousel.store"):
                _start(primary.url)
    assert "a failover to one of them may lose what had not reached it" in caplog.text


def test_cluster_mode_is_refused(tmp_path: Path) -> None:
    """Also with --redis-unsafe: it cannot work."""
    with RedisServer(tmp_path, "--cluster-enabled", "yes") as server:
        assert "runs in cluster mode" in _refusal(server.url, unsafe=True)


@pytest.mark.parametrize(
    ("found", "expected"), [("2", "carousel:format is b'2'"), ("x", "is b'x'")]
)
def test_another_format_is_refused(found: str, expected: str, tmp_path: Path) -> None:
    """Neither a newer one nor what is none is written over."""
    with RedisServer(tmp_path) as server, server.client() as client:
        client.set("carousel:format", found)
        assert expected in _refusal(server.url, unsafe=True)
        assert client.get("carousel:format") == found.encode()


def test_the_format_is_written_down(tmp_path: Path) -> None:
    """A first start says which format it writes, for those that come later."""
    with RedisServer(tmp_path) as server, server.client() as client:
        _start(server.url)
        assert client.get("carousel:format") == b"1"


def test_a_password_is_asked_for_and_never_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Missing, wrong and right; in no text, representation or log."""
    wrong = "wrong-staple"
    caplog.set_level(logging.DEBUG)
    with RedisServer(tmp_path, "--requirepass", PASSWORD) as server:
        texts = [_refusal(server.url)]
        assert "CAROUSEL_REDIS_PASSWORD" in texts[0]
        inside = server.url.replace("://", f"://:{wrong}@")
        texts += [_refusal(server.url, password=wrong), _refusal(inside)]
        assert all("refuses the user name or the password" in each for each in texts[1:])
        texts.append(_start(server.url, password=PASSWORD))
        texts.append(_start(server.url.replace("://", f"://:{PASSWORD}@")))
        texts.append(_start(inside, password=PASSWORD))
    for secret in (wrong, PASSWORD):
        assert secret not in caplog.text + "".join(texts)


def test_a_password_for_a_server_without_one_is_refused(tmp_path: Path) -> None:
    """Somebody believes the server to be protected, and it is not."""
    with RedisServer(tmp_path) as server:
        text = _refusal(server.url, password=PASSWORD)
    assert "has no password, and one was given" in text
    assert PASSWORD not in text


@pytest.mark.parametrize(
    "option", ["retry_on_timeout=yes", "protocol=3", "ssl_nonsense=1", "socket_timeout=9"]
)
def test_an_address_cannot_change_how_things_are_sent(option: str) -> None:
    """A parameter that the library would take and the store does not is refused by its name."""
    for scheme in ("redis", "rediss"):
        text = _refusal(f"{scheme}://127.0.0.1:{free_port()}?{option}")
        assert option.partition("=")[0] in text
        assert "expected `db` or those of TLS, ssl_*" in text


def test_two_databases_of_a_server_are_two_stores(tmp_path: Path) -> None:
    """The number behind the address counts."""
    with RedisServer(tmp_path) as server:
        _start(f"{server.url}/3")
        with server.client() as client:
            assert client.get("carousel:format") is None
            client.select(3)
            assert client.get("carousel:format") == b"1"
