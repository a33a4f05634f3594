"""`carousel-sessions export` and `import` where something is wrong: one line, no half files."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.harness.client import MODEL
from tests.harness.live import Live
from tests.harness.process import PATHS, PATIENCE_S, Process
from tests.service.admin.admin import Stranger, http, line_of, run_tool, tool_command
from tests.service.admin.admin_words import (
    INFO,
    METADATA,
    TENSOR_BODY,
    problem,
    state,
    tensors_of,
)


def test_file_that_is_none(live: Live, tmp_path: Path) -> None:
    """What is not a whole safetensors file of this tool opens nothing, and is named."""
    good = tmp_path / "good"
    save_file(state(), good, METADATA)
    whole = good.read_bytes()
    files = {
        "text": b"hello, this is no tensor at all",
        "empty": b"",
        "cut": whole[:-1],
        "longer": whole + b"x",
        "huge-header": b"\xff" * 8 + b"{}",
        "header-only": (2).to_bytes(8, "little") + b"{}",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    save_file(state(), tmp_path / "foreign")
    for name, value in (
        ("carousel_format", "2"),
        ("session_id", "a b"),
        ("version", "one"),
        ("position", "-1"),
        ("ttl_s", "nan"),
    ):
        save_file(state(), tmp_path / name, METADATA | {name: value})
    for name in METADATA:
        lacking = {key: value for key, value in METADATA.items() if key != name}
        save_file(state(), tmp_path / f"without-{name}", lacking)
    os.mkfifo(tmp_path / "pipe")
    for name in sorted({*os.listdir(tmp_path), "missing"} - {"good"}):
        ended = run_tool("import", tmp_path / name, url=live.url)
        assert ended.code == 1, name
        assert str(tmp_path / name) in line_of(ended)
    (tmp_path / "folder").mkdir()
    assert run_tool("import", tmp_path / "folder", url=live.url).code == 1
    assert run_tool("list", url=live.url).out == "no sessions\n"
    assert run_tool("import", good, url=live.url).code == 0
    assert run_tool("delete", "new", "--yes", url=live.url).code == 0


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ({"state.h": np.ones((2, 20), np.float32)}, "invalid_request"),
        ({"h": np.ones((2, 20), np.float32)}, "invalid_request"),
        (state() | {"state.c": np.ones((2, 21), np.float32)}, "shape_mismatch"),
        (state() | {"state.c": np.ones((2, 20), np.float64)}, "shape_mismatch"),
        (state() | {"state.c": np.full((2, 20), np.nan, np.float32)}, "non_finite_state"),
        ({"state.h": np.zeros(5_000_000, np.float32)}, "payload_too_large"),
    ],
)
def test_state_that_does_not_fit(
    live: Live, tensors: dict[str, np.ndarray], code: str, tmp_path: Path
) -> None:
    """A state that the model cannot take is refused in the service's words; nothing stays open."""
    path = tmp_path / "new.safetensors"
    save_file(tensors, path, METADATA)
    ended = run_tool("import", path, url=live.url)
    assert ended.code == 1
    assert line_of(ended).startswith(f"{code} ("), ended.err
    assert run_tool("list", url=live.url).out == "no sessions\n"


def test_output_that_cannot_be_written(live: Live, tmp_path: Path) -> None:
    """A folder that is missing, a folder as the file, a file as the folder, a pipe: 1, nothing is
    changed.
    """
    live.client.post("/v1/sessions", json={"model": MODEL, "session_id": "beside"})
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    before = sorted(os.listdir(tmp_path))
    for path in ("missing/x", "folder", "file/x", "pipe"):
        ended = run_tool("export", "beside", "--output", tmp_path / path, url=live.url)
        assert ended.code == 1
        assert f"{tmp_path / path} cannot be written" in line_of(ended)
    ended = run_tool("export", "--all", tmp_path / "file", url=live.url)
    assert ended.code == 1
    assert sorted(os.listdir(tmp_path)) == before
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "pipe").is_fifo()
    live.client.delete("/v1/sessions/beside")


def test_full_disk_leaves_nothing(live: Live, tmp_path: Path) -> None:
    """A file that cannot grow to its end is not there at all."""
    live.client.post("/v1/sessions", json={"model": MODEL, "session_id": "beside"})
    ended = run_tool("export", "beside", "--output", tmp_path / "x", url=live.url, max_bytes=512)
    assert ended.code == 1
    assert f"{tmp_path / 'x'} cannot be written" in line_of(ended)
    assert os.listdir(tmp_path) == []
    live.client.delete("/v1/sessions/beside")


def test_export_follows_a_link(live: Live, tmp_path: Path) -> None:
    """Where the output is a link, what it leads to is written, and it stays a link."""
    live.client.post("/v1/sessions", json={"model": MODEL, "session_id": "beside"})
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "target")
    assert run_tool("export", "beside", "--output", tmp_path / "link", url=live.url).code == 0
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "target").stat().st_size > 320
    live.client.delete("/v1/sessions/beside")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (tensors_of(TENSOR_BODY[:2000], length=len(TENSOR_BODY)), 3),
        (tensors_of(TENSOR_BODY[:-1]), 1),
        (tensors_of(TENSOR_BODY[:4]), 1),
        (tensors_of(b"\xff" * 5000), 1),
        (tensors_of(b"\x02" + bytes(7) + b"[]"), 1),
        (http(200, "application/json", TENSOR_BODY), 3),
        (problem(500, "state_corrupt", "no"), 1),
    ],
)
def test_broken_download_leaves_nothing(answer: bytes, code: int, tmp_path: Path) -> None:
    """A state that does not come whole leaves what was there before, and nothing beside it."""
    path = tmp_path / "kept"
    path.write_text("from before")
    answers = {
        "/v1/sessions/s": http(200, "application/json", INFO),
        "/v1/sessions/s/state": answer,
    }
    with Stranger(answers) as stranger:
        ended = run_tool("export", "s", "--output", path, url=stranger.url)
    assert ended.code == code
    assert line_of(ended)
    assert os.listdir(tmp_path) == ["kept"]
    assert path.read_text() == "from before"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_interrupted_download_leaves_nothing(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """Ended in the middle of a download, the tool takes its half-written file with it."""
    answers = {
        "/v1/sessions/s": http(200, "application/json", INFO),
        "/v1/sessions/s/state": tensors_of(TENSOR_BODY[:2000], length=len(TENSOR_BODY)),
    }
    with Stranger(answers, holds=True) as stranger:
        command = tool_command("export", "s", "--output", tmp_path / "x", "--url", stranger.url)
        with Process(command, PATHS) as tool:
            assert stranger.answered.wait(PATIENCE_S)
            assert len(os.listdir(tmp_path)) == 1
            tool.signal(number)
            assert tool.wait() == code
    assert os.listdir(tmp_path) == []


def test_foreign_names_make_no_paths(tmp_path: Path) -> None:
    """An id that would lead out of the folder is not taken from a service."""
    page = b'{"sessions": [' + INFO.replace(b'"s"', b'"../out"') + b'], "next": null}'
    answers = {"/v1/sessions?limit=1000": http(200, "application/json", page)}
    with Stranger(answers) as stranger:
        ended = run_tool("export", "--all", tmp_path / "in", url=stranger.url)
    assert ended.code == 3
    assert os.listdir(tmp_path) == ["in"]


def test_weights_are_compared(tmp_path: Path) -> None:
    """Where the service names a session's weights, a state of others is not written over it."""
    answers = {
        "/v1/sessions/s": http(200, "application/json", INFO[:-1] + b', "state_id": "theirs"}'),
        "/v1/sessions/s/state": tensors_of(TENSOR_BODY),
    }
    path = tmp_path / "s"
    with Stranger(answers) as stranger:
        assert run_tool("export", "s", "--output", path, url=stranger.url).code == 0
        path.write_bytes(path.read_bytes().replace(b"theirs", b"others"))
        ended = run_tool("import", path, "--replace", url=stranger.url)
    assert ended.code == 1
    assert "m/1 has other weights" in line_of(ended)


def test_one_refusal_for_all_ends_it(tmp_path: Path) -> None:
    """What the next session would be told as well is said once."""
    for name in ("a", "b", "c"):
        save_file(state(), tmp_path / f"{name}.safetensors", METADATA | {"session_id": name})
    answers = {"/v1/sessions": problem(503, "draining", "shutting down")}
    with Stranger(answers) as stranger:
        ended = run_tool("import", tmp_path, url=stranger.url)
    assert (ended.code, ended.out) == (1, "")
    assert line_of(ended).startswith("draining (503): ")
