"""SIGHUP: what stands in the repository is looked at anew, and what runs well goes on."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.client import MODEL, RAW, numbers
from tests.harness.live import Live
from tests.harness.served import Served

OTHER = "gru-10-20-2"
ROW = numbers(1, 10).tobytes()


@pytest.fixture
def own(repository: Path, tmp_path: Path) -> Path:
    """A repository of one test's own, with the LSTM and the GRU."""
    for name in (MODEL, OTHER):
        shutil.copytree(repository / name, tmp_path / "models" / name)
    return tmp_path / "models"


@pytest.fixture
def service(own: Path) -> Iterator[Live]:
    """A service of it, with a session that has taken a step."""
    with Live(own) as service:
        service.client.post("/v1/sessions", json={"model": MODEL, "session_id": "s"})
        assert _step(service).status_code == 200
        yield service


def _step(service: Live) -> Any:
    return service.client.post("/v1/sessions/s/steps", content=ROW, headers=RAW)


def _answer(service: Live) -> bytes:
    answer = service.client.post(f"/v1/models/{MODEL}/infer", content=ROW, headers=RAW)
    assert answer.status_code == 200, answer.text
    return bytes(answer.content)


def _cut(folder: Path) -> None:
    data = (folder / "manifest.json").read_bytes()
    (folder / "manifest.json").write_bytes(data[: len(data) // 2])


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _flip(folder: Path) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.onnx").write_bytes(data)


def _emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize("harm", [_cut, _no_manifest, _flip, _emptied])
def test_what_is_damaged_on_disk_goes_on_in_memory(
    service: Live, own: Path, harm: Callable[[Path], None]
) -> None:
    """A loaded version whose files are damaged is served on, and /readyz and the log say why it
    would not be again.
    """
    before = _answer(service)
    harm(own / MODEL / "1")
    service.signal(signal.SIGHUP)
    line = service.wait_for(f"refused {MODEL}/1")
    assert "the one that is loaded goes on" in line
    ready = service.client.get("/readyz")
    [refusal] = ready.json()["refused"]
    assert (ready.status_code, refusal["model"], refusal["version"]) == (200, MODEL, 1)
    assert refusal["reason"] in line.replace('\\"', '"')
    assert _answer(service) == before
    assert _step(service).headers["carousel-position"] == "2"
    assert not any("no longer serving" in each for each in service.logs)


def test_other_weights_under_the_same_number_are_refused(
    service: Live, own: Path, served: dict[str, Served], tmp_path: Path
) -> None:
    """A version that was exported anew under its number is named; the loaded one goes on, until the
    new one has a number of its own.
    """
    module = served[MODEL].module
    weights = {name: each.clone() for name, each in module.state_dict().items()}
    try:
        module.load_state_dict({name: each * 0.5 for name, each in weights.items()})
        served[MODEL].export(tmp_path / "elsewhere")
    finally:
        module.load_state_dict(weights)
    before = _answer(service)
    shutil.rmtree(own / MODEL / "1")
    shutil.copytree(tmp_path / "elsewhere" / MODEL / "1", own / MODEL / "1")
    service.signal(signal.SIGHUP)
    assert "another artifact" in service.wait_for(f"refused {MODEL}/1")
    ready = service.client.get("/readyz")
    [refusal] = ready.json()["refused"]
    assert (ready.status_code, refusal["version"]) == (200, 1)
    assert "another artifact" in refusal["reason"]
    assert _answer(service) == before
    assert _step(service).headers["carousel-position"] == "2"
    (own / MODEL / "1").rename(own / MODEL / "2")
    service.signal(signal.SIGHUP)
    service.wait_for(f"no longer serving {MODEL}/1")
    assert service.client.get("/readyz").json()["refused"] == []
    assert not np.array_equal(_answer(service), before)


def test_what_was_mended_is_refused_no_more(service: Live, own: Path, repository: Path) -> None:
    """Put back as it was, the version is as before, and nothing was loaded anew."""
    _cut(own / MODEL / "1")
    service.signal(signal.SIGHUP)
    service.wait_for(f"refused {MODEL}/1")
    shutil.copytree(repository / MODEL / "1", own / MODEL / "1", dirs_exist_ok=True)
    shutil.copytree(repository / MODEL / "1", own / MODEL / "2")
    service.signal(signal.SIGHUP)
    service.wait_for(f"serving {MODEL}/2")
    assert service.client.get("/readyz").json()["refused"] == []
    assert sum(f"serving {MODEL}/1" in each for each in service.logs) == 1


@pytest.mark.parametrize("left", ["an empty folder", "nothing"])
def test_a_repository_that_is_gone_unloads_nothing(service: Live, own: Path, left: str) -> None:
    """A volume that is not mounted is no wish to serve nothing: the log says so, all goes on."""
    before = _answer(service)
    own.rename(own.parent / "moved")
    if left == "an empty folder":
        own.mkdir()
    service.signal(signal.SIGHUP)
    service.wait_for("could not be read again; serving as before")
    assert (service.client.get("/readyz").status_code, _answer(service)) == (200, before)
    assert _step(service).headers["carousel-position"] == "2"


def test_a_name_with_a_nul_ends_no_start(own: Path) -> None:
    """A manifest that lists it is refused by name, and the other models are served."""
    manifest = own / MODEL / "1" / "manifest.json"
    data = json.loads(manifest.read_text())
    data["files"]["a\0b"] = data["files"]["model.onnx"]
    del data["sha256"]
    manifest.write_text(json.dumps(data))
    with Live(own) as service:
        ready = service.client.get("/readyz")
        assert [each["model"] for each in ready.json()["refused"]] == [MODEL]
        assert service.client.get(f"/v1/models/{OTHER}").status_code == 200
