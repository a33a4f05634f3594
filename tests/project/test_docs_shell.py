"""The shell blocks of docs/versions.md and docs/backup.md do what the text beside them says."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.client import refused
from tests.harness.live import Live
from tests.harness.process import PATHS, run_program
from tests.harness.readme import block_with

STEP = {"inputs": [[1.0, 2.0, 3.0]]}
# What a block calls a program, and the module that it is.
_PROGRAMS = {
    "carousel-export": "carousel.export",
    "carousel-sessions": "carousel.service.admin",
}


def _export(folder: Path, seed: int) -> None:
    import torch

    from carousel import export_model

    torch.manual_seed(seed)
    module = torch.nn.LSTM(3, 4, batch_first=True)
    export_model(module, (torch.randn(2, 5, 3),), name="demo", repository=folder, quiet=True)


class Desk:
    """A folder with the paths that the pages name, a service of its repository, and a shell."""

    def __init__(self, folder: Path, live: Live) -> None:
        self.folder = folder
        self.repository = folder / "model-repository"
        self.live = live
        self._bin = folder / "bin"
        self._bin.mkdir()
        for name, module in _PROGRAMS.items():
            program = self._bin / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
            program.chmod(0o755)

    def run(self, script: str, *, succeeds: bool = True) -> str:
        """Run a block as printed, but for the service's process and address."""
        script = script.replace("PID", str(self.live.pid))
        known = PATHS | {
            "PATH": f"{self._bin}{os.pathsep}{os.environ['PATH']}",
            "CAROUSEL_URL": self.live.url,
        }
        shell = ["bash", "-ec", script]
        ended = run_program(shell, known, cwd=self.folder, patience_s=100)
        assert (ended.code == 0) is succeeds, ended.err
        return ended.out

    def refresh(self, text: str) -> None:
        """SIGHUP, until the log says `text`."""
        self.live.signal(signal.SIGHUP)
        self.live.wait_for(text)

    def open(self, session_id: str, **more: Any) -> dict[str, Any]:
        """A new session on the model of the pages."""
        body = {"model": "demo", "session_id": session_id, **more}
        answer = self.live.client.post("/v1/sessions", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def version(self, session_id: str) -> int:
        """The version that a session is on."""
        answer = self.live.client.get(f"/v1/sessions/{session_id}")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["version"])

    def step(self, session_id: str) -> httpx.Response:
        """One step of a session."""
        return self.live.client.post(f"/v1/sessions/{session_id}/steps", json=STEP)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The model twice, with other weights, each as version 1 of a folder of its own."""
    first, second = (tmp_path_factory.mktemp("exported") for _ in range(2))
    _export(first, seed=1)
    _export(second, seed=2)
    return first, second


@pytest.fixture
def desk(tmp_path: Path, exported: tuple[Path, Path]) -> Iterator[Desk]:
    """A service with versions 1 and 2 of the model, and sessions `one` and `two` on them."""
    demo = tmp_path / "model-repository" / "demo"
    for number, folder in enumerate(exported, 1):
        shutil.copytree(folder / "demo" / "1", demo / str(number))
    with Live(demo.parent, "--data-dir", str(tmp_path / "data")) as live:
        desk = Desk(tmp_path, live)
        desk.open("one", version=1)
        desk.open("two")
        yield desk


def test_new_version_leaves_open_sessions_where_they_are(
    tmp_path: Path, exported: tuple[Path, Path]
) -> None:
    """Sessions stay on the version they were opened on; new ones begin on the highest."""
    repository = tmp_path / "model-repository"
    shutil.copytree(exported[0], repository)
    shutil.copytree(exported[1], tmp_path / "staging")
    with Live(repository) as live:
        desk = Desk(tmp_path, live)
        desk.open("one")
        desk.run(block_with("bash", "staging/demo"))
        live.wait_for("serving demo/2")
        desk.open("two")
        assert (desk.version("one"), desk.version("two")) == (1, 2)
        assert desk.step("one").json()["outputs"] != desk.step("two").json()["outputs"]
        assert desk.open("named", version=1)["version"] == 1
        assert live.client.get("/v1/models/demo").json()["versions"] == [1, 2]


def test_roll_back_that_lets_sessions_go_on(desk: Desk) -> None:
    """Version 1 again as version 3: new sessions have its weights, the others stay."""
    desk.run(block_with("bash", "model-repository/demo/3"))
    desk.live.wait_for("serving demo/3")
    new = desk.open("new")
    assert new["version"] == 3
    assert new["state_id"] == desk.live.client.get("/v1/sessions/one").json()["state_id"]
    assert (desk.version("one"), desk.version("two")) == (1, 2)


def test_roll_back_that_stops_a_version(desk: Desk) -> None:
    """Sessions of the version that was taken away are refused, and go on when it is back."""
    desk.run(block_with("bash", "mkdir -p retired"))
    desk.live.wait_for("no longer serving demo/2")
    assert desk.open("new")["version"] == 1
    refused(desk.step("two"), 409, "model_mismatch")
    assert desk.step("one").status_code == 200
    shutil.move(desk.folder / "retired" / "demo-2", desk.repository / "demo" / "2")
    desk.refresh("serving demo/2")
    assert desk.step("two").json()["position"] == 1


def test_sessions_go_on_where_the_weights_are_the_same(desk: Desk) -> None:
    """Taken away, a version's sessions go on with the highest that has its weights."""
    shutil.copytree(desk.repository / "demo" / "1", desk.repository / "demo" / "3")
    desk.refresh("serving demo/3")
    shutil.move(desk.repository / "demo" / "1", desk.folder / "demo-1")
    desk.refresh("no longer serving demo/1")
    assert desk.version("one") == 3
    assert desk.step("one").json()["position"] == 1


def test_session_is_moved_to_other_weights(desk: Desk) -> None:
    """By name, with its position."""
    desk.open("pump-7")
    desk.step("pump-7")
    desk.run(block_with("bash", "pump-7.safetensors"))
    moved = desk.live.client.get("/v1/sessions/pump-7b").json()
    assert (moved["version"], moved["position"]) == (1, 1)


def test_half_copied_and_linked_versions_are_refused(desk: Desk) -> None:
    """They are listed with the reason, and the highest sound version is served."""
    half = desk.repository / "demo" / "4"
    half.mkdir()
    shutil.copy(desk.repository / "demo" / "1" / "manifest.json", half)
    linked = desk.repository / "demo" / "5"
    linked.mkdir()
    for file in (desk.repository / "demo" / "1").iterdir():
        (linked / file.name).symlink_to(file)
    desk.refresh("refused demo/5")
    ready = desk.live.client.get("/readyz").json()
    assert sorted(each["version"] for each in ready["refused"]) == [4, 5]
    assert desk.live.client.get("/v1/models/demo").json()["versions"] == [1, 2]


def test_copy_of_a_running_file_lacks_what_is_in_the_log(desk: Desk) -> None:
    """And `check` says so of it, as docs/backup.md has it."""
    desk.run("cp data/sessions.sqlite copy.sqlite")
    said = desk.run("carousel-sessions check copy.sqlite", succeeds=False)
    assert "sessions    0 sound" in said
    assert "log         missing" in said
    desk.run("carousel-sessions check data/sessions.sqlite", succeeds=False)
    desk.live.signal(signal.SIGTERM)
    assert desk.live.wait() == 0
    assert not (desk.folder / "data" / "sessions.sqlite-wal").exists()
    said = desk.run("carousel-sessions check data/sessions.sqlite")
    assert "sessions    2 sound" in said


def test_backup_of_a_running_service_is_restored(desk: Desk) -> None:
    """The copy in the place of the file: sessions stand where they stood when it was made."""
    data, kept = desk.folder / "data", desk.folder / "backup"
    kept.mkdir()
    desk.step("two")
    said = desk.run(block_with("bash", "carousel-sessions backup").replace("/backup/", f"{kept}/"))
    assert "2 sessions" in said
    assert "sessions    2 sound" in said
    assert (kept / "sessions.sqlite").stat().st_mode & 0o777 == 0o600
    assert desk.step("two").json()["position"] == 2
    desk.live.signal(signal.SIGTERM)
    assert desk.live.wait() == 0
    for end in ("", "-wal", "-shm"):
        (data / f"sessions.sqlite{end}").unlink(missing_ok=True)
    shutil.copy(kept / "sessions.sqlite", data)
    with Live(desk.repository, "--data-dir", str(data)) as live:
        again = live.client.post("/v1/sessions/two/steps", json=STEP)
        assert again.json()["position"] == 2


def test_sessions_are_moved_to_another_service(desk: Desk) -> None:
    """All of them, at their positions."""
    desk.step("two")
    with Live(desk.repository) as other:
        script = block_with("bash", "export --all moved")
        desk.run(script.replace("http://127.0.0.1:8001", other.url))
        found = other.client.get("/v1/sessions").json()["sessions"]
    stand = {each["session_id"]: (each["version"], each["position"]) for each in found}
    assert stand == {"one": (1, 0), "two": (2, 1)}
