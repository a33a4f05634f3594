"""`carousel-sessions` where something is wrong: one clear line, an exit code, no half files."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import save_file

from tests.harness.client import MODEL
from tests.harness.live import Live
from tests.harness.process import PATHS, PATIENCE_S, ROOT, clean_env
from tests.service.admin.admin import (
    PROBLEM,
    Stranger,
    http,
    line_of,
    run_tool,
    tool_command,
)
from tests.service.admin.admin_words import (
    INFO,
    KEY,
    METADATA,
    TIMELESS,
    VERBS,
    problem,
    state,
)


@pytest.fixture(scope="module")
def guarded(repository: Path) -> Iterator[Live]:
    """A service with a key."""
    with Live(repository, env={"CAROUSEL_API_KEY": KEY}) as service:
        yield service


def closed_url() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("verb", [(), *((verb,) for verb in VERBS)])
def test_help(verb: tuple[str, ...]) -> None:
    """The tool and each verb explain themselves."""
    ended = run_tool(*verb, "--help")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("usage: carousel-sessions")
    if not verb:
        for each in VERBS:
            assert f"\n    {each} " in ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("serve",),
        ("show",),
        ("delete", "--yes"),
        ("list", "--limit", "0"),
        ("list", "--limit", "x"),
        ("list", "--limit", "5", "--all"),
        ("list", "--timeout", "nan"),
        ("list", "--timeout", "0"),
        ("list", "--mod", "m"),
        ("export",),
        ("export", "a", "--all", "folder"),
        ("export", "--all", "folder", "--output", "file"),
        ("export", "a", "--model", "m"),
        ("import", "file", "--model", "a/b"),
        ("import", ".", "--id", "a"),
        ("import", "file", "--id", ""),
        ("list", "--api-key-file", "/nonexistent/key"),
        ("list", "--api-key-file", "/dev/null"),
        ("check",),
        ("check", "rediss://:secret@127.0.0.1/0"),
        ("backup", "file"),
        ("backup", "redis://:secret@127.0.0.1/0", "copy"),
        ("backup", "file", "redis://:secret@127.0.0.1/0"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """What cannot be meant ends with 2 before anybody is asked anything."""
    ended = run_tool(*arguments, url=closed_url(), cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1].startswith("carousel-sessions"), ended.err
    assert "secret" not in ended.err
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        *("", " ", "foo", "127.0.0.1:8000", "ftp://127.0.0.1", "http://", "http://:80"),
        *("http://127.0.0.1:0", "http://127.0.0.1:99999", "http://127.0.0.1:x", "http://a b"),
        *("http://a\nb", "http://..", "http://user:pass@127.0.0.1", "http://h\u00f6st"),
        *("http://127.0.0.1/?a=1", "http://[::1", "http://a..b", f"http://{'a' * 64}"),
    ],
)
def test_wrong_address(url: str) -> None:
    """What is no address is refused as such."""
    ended = run_tool("list", "--url", url, url=closed_url())
    assert ended.code == (3 if url == "" else 2)
    assert line_of(ended).startswith("http://127.0.0.1:" if url == "" else "--url: ")


def test_nobody_there() -> None:
    """A port where nobody listens and a name that nobody has: 3, with the address."""
    for url in (closed_url(), "http://no-such-host.invalid:8000"):
        ended = run_tool("list", "--url", url)
        assert ended.code == 3
        assert line_of(ended).startswith(f"{url} cannot be reached: ")


@pytest.mark.parametrize(
    "answer",
    [
        http(200, "text/html", b"<h1>It works!</h1>"),
        http(200, "application/json", b"[]"),
        http(200, "application/json", b'{"sessions": [{"session_id": "s"}], "next": null}'),
        http(200, "application/json", b'{"sessions": [' + INFO + b'], "next": 5}'),
        http(200, "application/json", b'{"sessions": [' + TIMELESS + b'], "next": null}'),
        http(200, "application/json", b'{"sessions": [], "next": ""}' + b" " * 10, length=10**6),
        http(200, "application/json", b'{"sessions": ' + b"[" * 10**5),
        http(404, "text/html", b"<h1>no</h1>"),
        http(302, "text/html", b"", more="Location: https://elsewhere.example/\r\n"),
        http(500, PROBLEM, b'{"detail": "no code"}'),
        http(500, PROBLEM, b"[]"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n",
        b"",
    ],
)
def test_stranger(answer: bytes) -> None:
    """What answers and is not Carousel is told from it: 3, and no traceback."""
    with Stranger({"/v1/sessions?limit=100": answer}) as stranger:
        ended = run_tool("list", url=stranger.url)
    assert ended.code == 3
    assert stranger.url in line_of(ended)


def test_answer_that_never_comes() -> None:
    """--timeout bounds the wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ended = run_tool("list", "--timeout", "0.2", url=url)
    assert ended.code == 3
    assert "--timeout" in line_of(ended)


def test_path_of_a_proxy() -> None:
    """An address may have a path in front of the service's own."""
    answer = http(200, "application/json", b'{"sessions": [' + INFO + b'], "next": null}')
    with Stranger({"/carousel/v1/sessions?limit=100": answer}) as stranger:
        ended = run_tool("list", "--url", f"{stranger.url}/carousel/")
    assert ended.code == 0
    assert "m/1" in ended.out


def test_next_that_leads_nowhere() -> None:
    """A list whose next is the page itself comes to an end."""
    page = http(200, "application/json", b'{"sessions": [' + INFO + b'], "next": "s"}')
    answers = {"/v1/sessions?limit=1000": page, "/v1/sessions?limit=1000&after=s": page}
    with Stranger(answers) as stranger:
        assert run_tool("list", "--all", url=stranger.url).code == 3


def test_key(guarded: Live, tmp_path: Path) -> None:
    """The key comes from the environment or a file; without it or with another one: 1, no key
    shown.
    """
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(f"{KEY}\n")
    wrong.write_text("another-key-of-16-letters")
    for arguments, env in (
        ((), {"CAROUSEL_API_KEY": KEY}),
        ((), {"CAROUSEL_API_KEY_FILE": str(right)}),
        (("--api-key-file", right), {"CAROUSEL_API_KEY": "wrong"}),
    ):
        assert run_tool("list", *arguments, url=guarded.url, env=env).code == 0
    for arguments, env in (
        ((), {}),
        ((), {"CAROUSEL_API_KEY": "another-key-of-16-letters"}),
        (("--api-key-file", wrong), {"CAROUSEL_API_KEY": KEY}),
    ):
        ended = run_tool("list", *arguments, url=guarded.url, env=env)
        assert ended.code == 1
        assert line_of(ended).startswith("unauthorized (401): ")
        assert "another-key" not in ended.err
    assert run_tool("list", url=guarded.url, env={"CAROUSEL_API_KEY": "a\nb: c"}).code == 2


@pytest.mark.parametrize("verb", ["show", "export", "delete"])
def test_unknown_id(live: Live, verb: str, tmp_path: Path) -> None:
    """A session that is not there: 1, with the service's words, and no file."""
    flags = ("--yes",) if verb == "delete" else ()
    ended = run_tool(verb, "never-there", *flags, url=live.url, cwd=tmp_path)
    assert ended.code == 1
    assert line_of(ended).startswith("session_not_found (404): ")
    assert "'never-there'" in line_of(ended)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "..", ".", "a/b", "../x", "%2e", "a?b", "a#b", "\u00e9", "a\n", "a" * 129],
)
def test_odd_id(live: Live, name: str, tmp_path: Path) -> None:
    """What cannot be an id is never asked for, and deletes nothing beside it."""
    live.client.post("/v1/sessions", json={"model": MODEL, "session_id": "beside"})
    for arguments in (("show", name), ("export", name), ("delete", "beside", name, "--yes")):
        ended = run_tool(*arguments, url=live.url, cwd=tmp_path)
        assert ended.code == 2
        assert "cannot be a session's id" in line_of(ended)
    assert os.listdir(tmp_path) == []
    assert live.client.delete("/v1/sessions/beside").status_code == 204


def test_id_of_the_service_is_its_own(live: Live, tmp_path: Path) -> None:
    """A session cannot be opened under an id that begins with v2., and the service says why."""
    path = tmp_path / "new.safetensors"
    save_file(state(), path, METADATA)
    ended = run_tool("import", path, "--id", "v2.abc", url=live.url)
    assert ended.code == 1
    assert "v2." in line_of(ended)
    assert run_tool("list", url=live.url).out == "no sessions\n"


def test_foreign_words_are_shown_plainly() -> None:
    """What a service says cannot move the cursor or make a second line."""
    answers = {"/v1/sessions/s": problem(404, "x", "\\u001b[2J\\nnext \\u202e")}
    with Stranger(answers) as stranger:
        ended = run_tool("show", "s", url=stranger.url)
    assert ended.code == 1
    assert line_of(ended) == "x (404): \\x1b[2J\\nnext \\u202e"


def test_reader_that_has_enough(live: Live) -> None:
    """A pipe that is closed ends the tool quietly; a full disk with a line."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed, Path("/dev/full").open("wb") as full:
        for output, code, words in ((closed, 141, b""), (full, 1, b"cannot be written")):
            done = subprocess.run(
                tool_command("list", "--url", live.url),
                cwd=ROOT,
                env=clean_env(PATHS),
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=PATIENCE_S,
                check=False,
            )
            assert done.returncode == code
            assert words in done.stderr
            assert done.stderr.count(b"\n") == (1 if words else 0)
