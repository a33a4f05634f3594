"""`carousel-sessions` against a running service: what it shows, moves and deletes is there."""

import json
import os
import pty
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load, load_file, save

from tests.harness.client import MODEL, TENSORS, TOLERANCE, Client, numbers
from tests.harness.live import Live
from tests.harness.process import PATHS, Process
from tests.harness.served import Served, run_lstm
from tests.service.admin.admin import line_of, run_tool, tool_command

GRU = "gru-10-20-2"
H, C = numbers(2, 20, seed=1), numbers(2, 20, seed=2)


@pytest.fixture
def kept(live: Live) -> Client:
    """A session that stands at position 41 of a state the test knows; and nothing else is there."""
    body = {"model": MODEL, "session_id": "pump-7", "ttl_s": 900}
    assert live.client.post("/v1/sessions", json=body).status_code == 201
    client = Client(live.client, "pump-7")
    put_state(client, 41)
    return client


def put_state(client: Client, position: int) -> None:
    """Put a session at the known state."""
    written = client.http.put(
        f"{client.path}/state",
        content=save({"state.h": H, "state.c": C}),
        headers=TENSORS | {"Carousel-Position": str(position)},
    )
    assert written.status_code == 200, written.text


def state_of(client: Client) -> tuple[int, dict[str, Any]]:
    """Where a session stands, and its state."""
    read = client.http.get(f"{client.path}/state", headers={"Accept": TENSORS["Content-Type"]})
    assert read.status_code == 200, read.text
    return int(read.headers["carousel-position"]), load(read.content)


def ids(live: Live) -> list[str]:
    """All sessions that the service lists."""
    page = live.client.get("/v1/sessions", params={"limit": 1000}).json()
    return [each["session_id"] for each in page["sessions"]]


def test_list_is_a_table(live: Live, kept: Client) -> None:
    """People get a line a session under heads, every column in line."""
    live.client.post("/v1/sessions", json={"model": GRU, "session_id": "a", "position": 1234567})
    ended = run_tool("list", "--url", live.url)
    assert ended.code == 0
    head, first, second = ended.out.splitlines()
    assert head.split("  ")[0] == "SESSION"
    assert [first.split()[:5], second.split()[:5]] == [
        ["a", f"{GRU}/1", "1234567", "160", "B"],
        ["pump-7", f"{MODEL}/1", "41", "320", "B"],
    ]
    for line, model, position in ((first, GRU, "1234567"), (second, MODEL, "41")):
        assert line.index(model) == head.index("MODEL")
        assert line.index(position) + len(position) == head.index("POSITION") + len("POSITION")
        assert line.index("320" if position == "41" else "160") > head.index("POSITION")
    assert second.count("Z") == 2


def test_list_as_json_is_the_services(live: Live, kept: Client) -> None:
    """Machines get the document that the service itself answers."""
    live.client.post("/v1/sessions", json={"model": GRU, "session_id": "a"})
    for flags, params in (
        ((), {}),
        (("--limit", "1"), {"limit": "1"}),
        (("--after", "a"), {"after": "a"}),
        (("--model", GRU), {"model": GRU}),
        (("--model", "none"), {"model": "none"}),
    ):
        ended = run_tool("list", "--json", *flags, url=live.url)
        assert ended.code == 0, ended.err
        assert json.loads(ended.out) == live.client.get("/v1/sessions", params=params).json()


def test_list_goes_through_all_pages(live: Live, kept: Client) -> None:
    """More sessions than a page of the service holds are listed in order; a cut list says so."""
    kept.http.post(f"{kept.path}/fork", json={"count": 1000})
    kept.http.post(f"{kept.path}/fork", json={"count": 5})
    listed = json.loads(run_tool("list", "--all", "--json", url=live.url).out)
    found = [each["session_id"] for each in listed["sessions"]]
    assert (len(found), len(set(found)), listed["next"]) == (1006, 1006, None)
    assert found == sorted(found)
    table = run_tool("list", "--all", url=live.url).out.splitlines()
    assert [line.split()[0] for line in table] == ["SESSION", *found]
    many = json.loads(run_tool("list", "--limit", "1003", "--json", url=live.url).out)
    assert [each["session_id"] for each in many["sessions"]] == found[:1003]
    assert many["next"] == found[1002]
    assert f"--after {found[1]}" in run_tool("list", "--limit", "2", url=live.url).out
    for index in range(0, len(found), 200):
        assert run_tool("delete", "--yes", *found[index : index + 200], url=live.url).code == 0
    assert run_tool("list", url=live.url).out == "no sessions\n"


def test_show(live: Live, kept: Client) -> None:
    """One session, for people and as the service says it."""
    info = kept.http.get(kept.path).json()
    assert json.loads(run_tool("show", kept.id, "--json", url=live.url).out) == info
    shown = run_tool("show", kept.id, url=live.url)
    assert shown.code == 0
    rows = dict(line.split(maxsplit=1) for line in shown.out.splitlines())
    assert (rows["session"], rows["position"]) == ("pump-7", "41")
    assert rows["model"] == f"{MODEL}, version 1"
    assert rows["state"] == "320 B"
    assert rows["expires"] == info["expires_at"][:19].replace("T", " ") + "Z"


def test_export_holds_the_session(live: Live, kept: Client, tmp_path: Path) -> None:
    """The file is safetensors with the state to the bit and the rest in its metadata."""
    path = tmp_path / "kept.safetensors"
    ended = run_tool("export", kept.id, "--output", path, url=live.url)
    assert ended.code == 0, ended.err
    tensors = load_file(path)
    assert {name: each.tobytes() for name, each in tensors.items()} == {
        "state.h": H.tobytes(),
        "state.c": C.tobytes(),
    }
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    expected = {"session_id": kept.id, "model": MODEL, "version": "1", "position": "41"}
    assert metadata.items() >= (expected | {"ttl_s": "900"}).items()
    assert os.listdir(tmp_path) == ["kept.safetensors"]
    # As private as the store's own file.
    assert path.stat().st_mode & 0o777 == 0o600


def test_export_names_the_file_itself(live: Live, kept: Client, tmp_path: Path) -> None:
    """Without --output the file has the id's name and stands in the working folder; a second
    export takes its place.
    """
    for position in (41, 42):
        put_state(kept, position)
        assert run_tool("export", kept.id, url=live.url, cwd=tmp_path).code == 0
        with safe_open(tmp_path / "pump-7.safetensors", framework="numpy") as file:
            assert file.metadata()["position"] == str(position)


def test_import_goes_on_where_the_file_stands(
    live: Live, kept: Client, served: dict[str, Served], tmp_path: Path
) -> None:
    """An imported session has the file's position, time to live and state, and steps from it."""
    path = tmp_path / "kept.safetensors"
    run_tool("export", kept.id, "--output", path, url=live.url)
    kept.http.delete(kept.path)
    ended = run_tool("import", path, url=live.url)
    assert (ended.code, ended.err) == (0, "")
    info = kept.http.get(kept.path).json()
    assert (info["model"], info["version"], info["position"]) == (MODEL, 1, 41)
    assert ids(live) == ["pump-7"]
    position, state = state_of(kept)
    assert position == 41
    assert state["state.h"].tobytes() + state["state.c"].tobytes() == H.tobytes() + C.tobytes()
    again = run_tool("export", kept.id, "--output", tmp_path / "again.safetensors", url=live.url)
    assert again.code == 0
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    x = numbers(1, 10)
    expected, _, _ = run_lstm(served[MODEL].module, x, (H, C))
    np.testing.assert_allclose(kept.step(x, position=41)["outputs"], expected, atol=TOLERANCE)


def test_import_spares_what_exists(live: Live, kept: Client, tmp_path: Path) -> None:
    """A taken id is refused and nothing moves; --id opens another, --replace writes."""
    path = tmp_path / "kept.safetensors"
    run_tool("export", kept.id, "--output", path, url=live.url)
    kept.step(numbers(1, 10))
    ended = run_tool("import", path, url=live.url)
    assert ended.code == 1
    assert "'pump-7'" in line_of(ended)
    assert "--replace" in line_of(ended)
    assert (kept.position, ids(live)) == (42, ["pump-7"])
    assert run_tool("import", path, "--id", "pump-8", url=live.url).code == 0
    assert state_of(Client(live.client, "pump-8"))[0] == 41
    assert run_tool("import", path, "--replace", url=live.url).code == 0
    position, state = state_of(kept)
    assert (position, state["state.h"].tobytes()) == (41, H.tobytes())
    assert run_tool("import", path, "--replace", "--id", "pump-9", url=live.url).code == 0
    assert ids(live) == ["pump-7", "pump-8", "pump-9"]


def test_state_of_another_model_is_refused(live: Live, kept: Client, tmp_path: Path) -> None:
    """What the model cannot take opens nothing, and a session of another model is not written."""
    path = tmp_path / "kept.safetensors"
    run_tool("export", kept.id, "--output", path, url=live.url)
    live.client.post("/v1/sessions", json={"model": GRU, "session_id": "other"})
    for model, code in (
        (GRU, "invalid_request"),
        ("tokens", "invalid_request"),
        ("attention", "not_streamable"),
        ("none", "model_not_found"),
        (f"{MODEL}/9", "model_not_found"),
    ):
        ended = run_tool("import", path, "--id", "new", "--model", model, url=live.url)
        assert ended.code == 1
        assert line_of(ended).startswith(code), ended.err
    ended = run_tool("import", path, "--id", "other", "--replace", url=live.url)
    assert ended.code == 1
    assert f"{GRU}/1" in line_of(ended)
    assert f"{MODEL}/1" in line_of(ended)
    assert ids(live) == ["other", "pump-7"]
    ended = run_tool("import", path, "--id", "same", "--model", f"{MODEL}/1", url=live.url)
    assert ended.code == 0


def test_version_that_is_gone_is_named(live: Live, kept: Client, tmp_path: Path) -> None:
    """A file of a version that is not served says so and what to say."""
    path = tmp_path / "old.safetensors"
    run_tool("export", kept.id, "--output", path, url=live.url)
    path.write_bytes(path.read_bytes().replace(b'"version":"1"', b'"version":"7"'))
    ended = run_tool("import", path, "--id", "new", url=live.url)
    assert ended.code == 1
    assert f"{MODEL}/7" in line_of(ended)
    assert "--model" in line_of(ended)
    assert run_tool("import", path, "--id", "new", "--model", MODEL, url=live.url).code == 0
    assert live.client.get("/v1/sessions/new").json()["version"] == 1


def test_everything_moves(live: Live, kept: Client, tmp_path: Path) -> None:
    """All sessions go into a folder and come back from it as they were, odd ids included."""
    names = ["A.b:c@d~e-f_g", "a" * 128, "pump-7", "z"]
    for index, name in enumerate(names):
        body = {"model": MODEL if name == "z" else GRU, "session_id": name, "position": index}
        live.client.post("/v1/sessions", json=body)
    before = live.client.get("/v1/sessions").json()["sessions"]
    folder = tmp_path / "new" / "folder"
    ended = run_tool("export", "--all", folder, url=live.url)
    assert ended.code == 0, ended.err
    assert ended.out.splitlines()[-1] == "exported 4"
    assert sorted(os.listdir(folder)) == [f"{name}.safetensors" for name in names]
    assert run_tool("delete", "--yes", *names, url=live.url).code == 0
    assert run_tool("import", folder, url=live.url).code == 0
    after = live.client.get("/v1/sessions").json()["sessions"]
    same = ("session_id", "model", "version", "position", "state_bytes")
    assert [[each[name] for name in same] for each in after] == [
        [each[name] for name in same] for each in before
    ]
    ended = run_tool("import", folder, url=live.url)
    assert ended.code == 1
    assert ended.out.splitlines()[-1] == "imported 0, failed 4"
    ended = run_tool("export", "--all", tmp_path / "gru", "--model", GRU, url=live.url)
    assert len(os.listdir(tmp_path / "gru")) == 2


def test_delete_goes_on_after_a_miss(live: Live, kept: Client) -> None:
    """Of several ids those that exist are deleted; the others are named, with exit code 1."""
    live.client.post("/v1/sessions", json={"model": GRU, "session_id": "a"})
    ended = run_tool("delete", "a", "none", "pump-7", "a", "--yes", url=live.url)
    assert ended.code == 1
    assert line_of(ended).startswith("session_not_found (404): ")
    assert ended.out.splitlines() == ["deleted a", "deleted pump-7", "deleted 2, failed 1"]
    assert ids(live) == []


def test_delete_needs_a_yes(live: Live, kept: Client) -> None:
    """Where nobody can be asked, --yes is needed; a terminal is asked, and only a yes deletes."""
    ended = run_tool("delete", kept.id, url=live.url)
    assert ended.code == 2
    assert "--yes" in line_of(ended)
    for answer, code in (("\n", 1), ("no\n", 1), ("\x04", 1), ("y\n", 0)):
        assert ids(live) == ["pump-7"]
        assert _at_terminal(answer, "delete", kept.id, "--url", live.url) == code
    assert ids(live) == []


def _at_terminal(answer: str, *arguments: str) -> int:
    """The tool's exit code, where somebody sits at a terminal and types `answer`."""
    ours, theirs = pty.openpty()
    try:
        with Process(tool_command(*arguments), PATHS, stdin=theirs) as tool:
            os.write(ours, answer.encode())
            return tool.wait()
    finally:
        os.close(ours)
        os.close(theirs)
