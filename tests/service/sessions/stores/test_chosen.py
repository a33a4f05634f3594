"""The store that the settings name is the one that is used, or the program says why and ends."""

import shutil
import signal
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest

from carousel.service.sessions.stores.base import Store
from carousel.service.sessions.stores.choose import open_store
from carousel.service.store_address import parse_address
from tests.harness.client import MODEL, TOLERANCE, Client, numbers, refused
from tests.harness.live import Live, run_to_end
from tests.harness.process import free_port, run_program
from tests.harness.redis_server import RedisServer, require_redis
from tests.harness.rig import play
from tests.harness.served import Served, run_lstm

OTHER = "gru-10-20-2"
# Not a word of any message.
SECRET = "Zx9qVv7w"


@pytest.fixture(scope="module")
def models(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two models, which is quick to load."""
    folder = tmp_path_factory.mktemp("two")
    for name in (MODEL, OTHER):
        shutil.copytree(repository / name, folder / name)
    return folder


def _open(text: str, folder: Path, *models: str) -> Store:
    return open_store(
        parse_address(text),
        data_dir=folder,
        durability="process",
        store_bytes=1_000_000,
        memory_models=frozenset(models),
        redis_password="",
        redis_unsafe=False,
    )


def _create(service: Live, session_id: str, model: str = MODEL) -> Client:
    body = {"model": model, "session_id": session_id}
    answer = service.client.post("/v1/sessions", json=body)
    assert answer.status_code == 201, answer.text
    return Client(service.client, session_id)


def test_each_setting_names_its_store(tmp_path: Path) -> None:
    """By name, by path, and beside memory; files are made where they are said to be."""

    async def scenario() -> None:
        path = tmp_path / "own" / "file.db"
        for text, models, name, file in (
            ("memory", (), "memory", None),
            ("memory", ("m",), "memory", None),
            ("sqlite", (), "sqlite", tmp_path / "sessions.sqlite"),
            ("sqlite", ("m",), "sqlite+memory", tmp_path / "sessions.sqlite"),
            (f"sqlite:{path}", (), "sqlite", path),
        ):
            store = _open(text, tmp_path, *models)
            assert store.name == name
            assert file is None or file.is_file()
            await store.close()

    play(scenario)


_IMPORTED = """
import asyncio, sys
from pathlib import Path
from carousel.service.store_address import parse_address
from carousel.service.sessions.stores.choose import open_store
store = open_store(parse_address(sys.argv[1]), data_dir=Path(sys.argv[2]), durability="process",
    store_bytes=1, memory_models=frozenset(), redis_password="", redis_unsafe=False)
asyncio.run(store.close())
print(*sorted({"apsw", "redis"} & sys.modules.keys()))
"""


def test_libraries_of_other_stores_are_not_loaded(tmp_path: Path) -> None:
    """A service in memory imports neither SQLite nor Redis, one on SQLite no Redis."""
    for text, expected in (("memory", ""), ("sqlite", "apsw")):
        ended = run_program([sys.executable, "-c", _IMPORTED, text, str(tmp_path)])
        assert (ended.code, ended.out.strip()) == (0, expected), ended


def test_a_step_that_was_answered_survives_a_kill(
    models: Path, served: dict[str, Served], tmp_path: Path
) -> None:
    """By default: after SIGKILL the session goes on where it stood, with the state it had."""
    x = numbers(9, 10)
    expected, _, _ = run_lstm(served[MODEL].module, x)
    with Live(models, "--data-dir", str(tmp_path)) as service:
        told = [line for line in service.logs if "sessions are kept in" in line]
        assert len(told) == 1
        assert f"{tmp_path}/sessions.sqlite, durability process" in told[0]
        session = _create(service, "s")
        answers = [session.step(x[at : at + 1], position=at) for at in range(5)]
        service.kill()
    with Live(models, "--data-dir", str(tmp_path)) as service:
        session = Client(service.client, "s")
        again = session.step(x[4:5], position=4)
        assert again == answers[4]
        answers += [session.step(x[at : at + 1], position=at) for at in range(5, 9)]
    outputs = np.concatenate([each["outputs"] for each in answers])
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=TOLERANCE)


def test_models_may_keep_their_sessions_in_memory(models: Path, tmp_path: Path) -> None:
    """Their sessions are gone after a restart and the others are not; all answer as one store."""
    arguments = ("--data-dir", str(tmp_path), "--model-store", f"{OTHER}=memory,later=memory")
    x = numbers(1, 10)
    with Live(models, *arguments) as service:
        for name, model in (("a", MODEL), ("b", OTHER)):
            assert _create(service, name, model).step(x)["position"] == 1
        taken = service.client.post("/v1/sessions", json={"model": MODEL, "session_id": "b"})
        refused(taken, 409, "session_exists")
        listed = service.client.get("/v1/sessions").json()["sessions"]
        assert [each["session_id"] for each in listed] == ["a", "b"]
        assert any("MODEL_STORE names later" in line for line in service.logs)
        assert not any(f"MODEL_STORE names {OTHER}" in line for line in service.logs)
    with Live(models, *arguments) as service:
        assert Client(service.client, "a").step(x, position=1)["position"] == 2
        refused(Client(service.client, "b").post(x), 404, "session_not_found")


def test_metrics_tell_of_the_store(models: Path) -> None:
    """/metrics counts what was committed to the file."""
    with Live(models) as service:
        session = _create(service, "s")
        before = service.client.get("/metrics").text
        for _ in range(3):
            session.step(numbers(1, 10))
        after = service.client.get("/metrics").text
    assert "\ncarousel_store_up 1.0\n" in after
    assert "\ncarousel_store_failures_total 0.0\n" in after

    def value(text: str, name: str) -> float:
        (line,) = [each for each in text.splitlines() if each.startswith(name + " ")]
        return float(line.split()[1])

    for name in ("carousel_store_commits_total", "carousel_store_rows_total"):
        assert value(after, name) - value(before, name) == 3
    assert value(after, "carousel_store_slowest_commit_seconds") > 0


def _refuse(models: Path, store: str, *expected: str) -> None:
    """The program ends with one line that names the setting, and has not listened."""
    ended = run_to_end(["--store", store, "--model-repository", str(models)])
    assert ended.code == 3, ended
    lines = [line for line in ended.err.splitlines() if not line.startswith("time=")]
    assert len(lines) == 1, ended
    assert lines[0].startswith("carousel-serve: CAROUSEL_STORE: ")
    assert all(each in lines[0] for each in expected), lines[0]
    assert "listening" not in ended.err
    assert SECRET not in ended.err


def test_a_path_that_cannot_be_written_ends_the_start(models: Path, tmp_path: Path) -> None:
    """Below a file there is no folder."""
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "sessions.sqlite"
    _refuse(models, f"sqlite:{path}", str(path), "cannot be written")


def test_a_file_of_another_process_ends_the_start(models: Path, tmp_path: Path) -> None:
    """A second service on the same file is told whose it is; the file is free after a kill."""
    path = tmp_path / "sessions.sqlite"
    with Live(models, "--store", f"sqlite:{path}") as service:
        _refuse(models, f"sqlite:{path}", str(service.pid), str(path), "redis://")
        _create(service, "s")
        service.kill()
    with Live(models, "--data-dir", str(tmp_path)) as service:
        assert Client(service.client, "s").position == 0


def test_a_file_that_is_not_ours_ends_the_start(models: Path, tmp_path: Path) -> None:
    """Another application's, a newer format, and no database at all: each is left as it is."""
    other, newer, text = (tmp_path / name for name in ("other.db", "newer.sqlite", "text"))
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with Live(models, "--store", f"sqlite:{newer}") as service:
        _create(service, "s")
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    text.write_text("nothing of the kind\n" * 100)
    for path, expected in ((other, "another application"), (newer, "99"), (text, "SQLite")):
        before = path.read_bytes()
        _refuse(models, f"sqlite:{path}", str(path), expected)
        assert path.read_bytes() == before


def test_the_file_is_closed_at_the_end(models: Path, tmp_path: Path) -> None:
    """After a drain, and after a start that ends for another reason, nothing is left in SQLite's
    log: the one file is whole.
    """
    with Live(models, "--data-dir", str(tmp_path / "a")) as service:
        port = service.url.rpartition(":")[2]
        arguments = ["--data-dir", str(tmp_path / "b"), "--model-repository", str(models)]
        assert run_to_end(["--port", port, *arguments]).code == 3
        _create(service, "s").step(numbers(1, 10))
        assert (tmp_path / "a" / "sessions.sqlite-wal").stat().st_size > 0
        service.signal(signal.SIGTERM)
        assert service.wait() == 0
    for folder in "ab":
        assert (tmp_path / folder / "sessions.sqlite").is_file()
        assert not (tmp_path / folder / "sessions.sqlite-wal").exists()


def test_a_redis_that_will_not_do_ends_the_start(models: Path, tmp_path: Path) -> None:
    """One that is not there, and one that would lose sessions, unless that is accepted."""
    away = f"redis://:{SECRET}@127.0.0.1:{free_port()}"
    _refuse(models, away, f"redis://127.0.0.1:{away.rpartition(':')[2]}", "cannot be reached")
    require_redis()
    with RedisServer(tmp_path, "--appendonly", "no") as server:
        _refuse(models, server.url, server.url, "--redis-unsafe")
        with Live(models, "--store", server.url, "--redis-unsafe") as service:
            _create(service, "s")


def test_services_share_a_redis(models: Path, tmp_path: Path) -> None:
    """A password by variable, the address in the log, and a session that a second service goes on
    with.
    """
    require_redis()
    x = numbers(1, 10)
    with RedisServer(tmp_path, "--requirepass", SECRET) as server:
        _refuse(models, server.url, "CAROUSEL_REDIS_PASSWORD")
        arguments = ("--store", server.url)
        env = {"CAROUSEL_REDIS_PASSWORD": SECRET}
        url = f"redis://:{SECRET}@{server.url.removeprefix('redis://')}"
        with (
            Live(models, *arguments, env=env) as one,
            Live(models, env={"CAROUSEL_STORE": url}) as two,
        ):
            assert _create(one, "s").step(x)["position"] == 1
            assert Client(two.client, "s").step(x)["position"] == 2
            assert Client(one.client, "s").step(x, position=2)["position"] == 3
            for service in (one, two):
                said = [line for line in service.logs if "sessions are kept at" in line]
                assert said[0].endswith(f'{server.url}"')
                assert SECRET not in "\n".join(service.logs)


def test_ready_again_once_the_store_is(models: Path, tmp_path: Path) -> None:
    """While Redis does not answer /readyz says so, and steps that they may have been done; then all
    goes on by itself.
    """
    require_redis()
    x = numbers(1, 10)
    with (
        RedisServer(tmp_path) as server,
        Live(models, "--store", server.url) as service,
    ):
        session = _create(service, "s")
        assert session.step(x)["position"] == 1
        server.kill()
        answer = session.post(x, position=1)
        assert refused(answer, 503, "store_unavailable")["advanced"] == "unknown"
        service.wait_for("the session store is away")
        ready = service.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "store unavailable")
        assert "\ncarousel_store_up 0.0\n" in service.client.get("/metrics").text
        server.start()
        service.wait_for("the session store is back")
        assert service.client.get("/readyz").status_code == 200
        assert session.step(x, position=1)["position"] == 2
