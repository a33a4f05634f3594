"""How it ends: in a sentence, with its exit code, and with its sessions deleted."""

import json
import signal
import socket
from pathlib import Path

import pytest

from tests.client.bench.bench_rig import COMMAND, SHORT, bench, metric
from tests.harness.client import MODEL
from tests.harness.live import Live
from tests.harness.process import PATHS, Process

KEY = "a-key-of-16-characters"
LONG = ("--model", MODEL, "--rate", "50", "--seconds", "60", "--warmup", "0")


def _sentence(err: str) -> str:
    """What it says last; nothing of Python's is before that."""
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("carousel-bench: ")
    return last


def _wait_for_steps(service: Live, process: Process) -> None:
    """Until it is in the midst of its load."""
    before = metric(service.client, "carousel_model_steps_total", model=MODEL)
    while metric(service.client, "carousel_model_steps_total", model=MODEL) < before + 80:
        assert process.code is None, process.tail()


@pytest.mark.parametrize(
    "url", ["nonsense", "http://", "http://127.0.0.1:1", "http://a:b@127.0.0.1", "http://a?b=c"]
)
def test_an_address_of_no_server_is_a_sentence(url: str) -> None:
    """Exit code 1."""
    ended = bench(url)
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "address" in _sentence(ended.err) or "cannot be reached" in ended.err


def test_what_does_not_speak_the_protocol_is_told() -> None:
    """Something that listens and says nothing of use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        with Process([*COMMAND, f"http://127.0.0.1:{listener.getsockname()[1]}"], PATHS) as process:
            while process.code is None:
                try:
                    other, _ = listener.accept()
                except TimeoutError:
                    continue
                other.recv(65536)
                other.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                other.close()
            assert process.wait() == 1
            assert "does not answer as a Carousel server does" in process.tail()


def test_a_model_that_is_not_there_is_told_with_those_that_are(live: Live) -> None:
    """Before anything is sent."""
    ended = bench(live.url, "--model", "nobody")
    assert ended.code == 1
    assert MODEL in _sentence(ended.err)


def test_a_model_without_sessions_is_told_what_fits(live: Live) -> None:
    """Steps of a model that reads whole sequences."""
    ended = bench(live.url, "--model", "bilstm-10-20-2", "--mix", "step")
    assert ended.code == 1
    assert "--mix sequence" in _sentence(ended.err)


@pytest.mark.parametrize(
    "flags",
    [
        ("--seconds", "0"),
        ("--rate", "nan"),
        ("--rate", "1e9"),
        ("--sessions", "0"),
        ("--mix", "step=0"),
        ("--mix", "dance"),
        ("--mix", "step,step"),
        ("--closed", "--rate", "1"),
    ],
)
def test_wrong_usage_is_exit_code_2(flags: tuple[str, ...]) -> None:
    """Without a server being asked."""
    ended = bench("http://127.0.0.1:1", *flags)
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_a_key_comes_from_the_environment(repository: Path, tmp_path: Path) -> None:
    """As the variable or the file of it; without one, and with a wrong one, the variable is named.
    It goes over streams too, and is in no report.
    """
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    with Live(repository, env={"CAROUSEL_API_KEY": KEY}) as service:
        flags = ("--model", MODEL, *SHORT, "--closed", "--mix", "step,stream", "--json", "-")
        for env in ({"CAROUSEL_API_KEY": KEY}, {"CAROUSEL_API_KEY_FILE": str(file)}):
            ended = bench(service.url, *flags, env=env)
            assert ended.code == 0, ended.err
            assert json.loads(ended.out)["runs"][0]["window"]["errors"] == {}
            assert KEY not in ended.out + ended.err
        for env in ({}, {"CAROUSEL_API_KEY": "another-key-of-somebody"}):
            ended = bench(service.url, *flags, env=env)
            assert ended.code == 1
            assert "CAROUSEL_API_KEY" in _sentence(ended.err)


def test_interrupted_it_reports_and_deletes(live: Live) -> None:
    """Ctrl-C in a loop: what was measured till then is in a table, and no session is left."""
    with Process([*COMMAND, live.url, *LONG], PATHS) as process:
        _wait_for_steps(live, process)
        process.signal(signal.SIGINT)
        assert process.wait() == 130
        assert _sentence("\n".join(process.logs)) == "carousel-bench: interrupted"
        assert "open, 50/s: ended early" in process.tail()
    assert live.client.get("/v1/sessions").json()["sessions"] == []


def test_interrupted_while_it_opens_sessions_it_leaves_none(live: Live) -> None:
    """Also those that the server was just about to open."""
    with Process([*COMMAND, live.url, *LONG, "--sessions", "3000"], PATHS) as process:
        while not live.client.get("/v1/sessions").json()["sessions"]:
            assert process.code is None, process.tail()
        process.signal(signal.SIGINT)
        assert process.wait() == 130
        assert "Traceback" not in process.tail()
    assert live.client.get("/v1/sessions").json()["sessions"] == []


def test_a_server_that_goes_away_is_told(repository: Path) -> None:
    """What was measured till then is in a table, then a sentence and exit code 1."""
    with Live(repository) as service, Process([*COMMAND, service.url, *LONG], PATHS) as process:
        _wait_for_steps(service, process)
        service.kill()
        assert process.wait() == 1
        assert "went away" in _sentence("\n".join(process.logs))
        assert "end by themselves" in process.tail()
        assert "open, 50/s: ended early" in process.tail()


def test_refusals_are_counted_by_what_they_say(repository: Path) -> None:
    """A queue for one: the others get 503, apart from errors and not among the times."""
    flags = ("--model", MODEL, *SHORT, "--sessions", "16", "--closed", "--json", "-")
    with Live(repository, "--queue-requests", "1") as service:
        ended = bench(service.url, *flags)
    assert ended.code == 0, ended.err
    window = json.loads(ended.out)["runs"][0]["window"]
    assert set(window["refused"]) == {"503 queue_full"}
    assert window["errors"] == {}
    assert window["done"] > 0


def test_a_store_that_is_full_is_a_sentence(repository: Path) -> None:
    """429 where sessions are opened."""
    with Live(repository, "--store", "memory", "--store-bytes", "100kB") as service:
        ended = bench(service.url, "--model", MODEL, "--sessions", "1500")
        assert service.client.get("/v1/sessions").json()["sessions"] == []
    assert ended.code == 1
    assert "session_limit" in _sentence(ended.err)
