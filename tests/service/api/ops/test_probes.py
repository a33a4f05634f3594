"""The running program: probes, drain, new versions, refused artifacts, metrics, pages, start."""

import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.harness.client import MODEL, RAW, numbers, refused
from tests.harness.live import Live, run_to_end
from tests.harness.process import PATIENCE_S
from tests.harness.served import Served

INFER = f"/v1/models/{MODEL}/infer"


@pytest.fixture
def own(repository: Path, tmp_path: Path) -> Path:
    """A repository of one test's own, with the LSTM and the GRU."""
    for name in (MODEL, "gru-10-20-2"):
        shutil.copytree(repository / name, tmp_path / "models" / name)
    return tmp_path / "models"


def test_probes(live: Live) -> None:
    """A service in order is alive and ready, also by HEAD."""
    assert live.client.get("/livez").json() == {"status": "alive", "failed": []}
    assert live.client.get("/readyz").json() == {"status": "ready", "refused": []}
    head = live.client.head("/readyz")
    assert (head.status_code, head.content) == (200, b"")


def test_start_is_quick_and_small(repository: Path) -> None:
    """The program is ready soon, stays small, and imports no torch where ONNX serves."""
    started = time.monotonic()
    with Live(repository) as service:
        elapsed_s = time.monotonic() - started
        status = Path(f"/proc/{service.pid}/status").read_text()
        maps = Path(f"/proc/{service.pid}/maps").read_text()
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident is not None
    assert int(resident[1]) < 200_000
    assert "libtorch" not in maps
    # The bound is 2 s on a free machine; other work may stand beside the tests.
    assert elapsed_s < 10


def test_printed_curl_lines_work(own: Path) -> None:
    """The two curl lines that are printed at the start work when they are pasted."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl on this machine")
    with Live(own) as service:
        lines = [service.wait_for_printed("curl "), service.wait_for_printed("curl ")]
        answers = [
            subprocess.run(line, shell=True, capture_output=True, text=True, check=True).stdout
            for line in [lines[0], lines[1], lines[1]]
        ]
    assert '"outputs":[[[' in answers[0]
    assert answers[1].endswith('"position":1}')
    assert answers[2].endswith('"position":2}')


def test_drain_answers_what_was_accepted(own: Path) -> None:
    """After SIGTERM /readyz says no at once; what is accepted is answered, and it exits with 0."""
    x = numbers(9_000, 10)
    with Live(own, "--drain-delay-s", "1.5") as service:
        assert service.client.get("/readyz").status_code == 200
        service.signal(signal.SIGTERM)
        service.wait_for("draining: SIGTERM")
        leaving = service.client.get("/readyz")
        assert (leaving.status_code, leaving.json()["status"]) == (503, "draining")
        assert service.client.get("/livez").status_code == 200
        answer = service.client.post(INFER, content=x.tobytes(), headers=RAW)
        assert (answer.status_code, len(answer.content)) == (200, 9_000 * 20 * 4)
        assert service.wait() == 0
    assert "accepted requests left unanswered: 0" in service.logs[-1]


def test_second_signal_ends_at_once(own: Path) -> None:
    """A second signal does not wait for the drain."""
    with Live(own, "--drain-delay-s", "600") as service:
        service.signal(signal.SIGINT)
        service.wait_for("draining: SIGINT")
        service.signal(signal.SIGTERM)
        assert service.wait() == 128 + signal.SIGTERM


def test_hangup_finds_new_versions(own: Path, served: dict[str, Served]) -> None:
    """SIGHUP serves a version that was added, and a session keeps its own."""
    with Live(own) as service:
        service.client.post("/v1/sessions", json={"model": MODEL, "session_id": "s"})
        served[MODEL].export(own)
        assert service.client.get(f"/v1/models/{MODEL}").json()["versions"] == [1]
        service.signal(signal.SIGHUP)
        service.wait_for(f"serving {MODEL}/2")
        info = service.client.get(f"/v1/models/{MODEL}").json()
        assert (info["version"], info["versions"]) == (2, [1, 2])
        assert service.client.get("/v1/sessions/s").json()["version"] == 1
        shutil.rmtree(own / MODEL / "1")
        service.signal(signal.SIGHUP)
        service.wait_for(f"no longer serving {MODEL}/1")
        x = numbers(1, 10)
        stepped = service.client.post("/v1/sessions/s/steps", content=x.tobytes(), headers=RAW)
        assert stepped.headers["carousel-position"] == "1"
        assert service.client.get("/v1/sessions/s").json()["version"] == 2


def test_hangup_moves_nobody_to_other_weights(own: Path) -> None:
    """A session whose weights are gone is refused, not fed to others."""
    with Live(own) as service:
        service.client.post("/v1/sessions", json={"model": "gru-10-20-2", "session_id": "s"})
        shutil.rmtree(own / "gru-10-20-2")
        service.signal(signal.SIGHUP)
        service.wait_for("no longer serving gru-10-20-2/1")
        step = {"inputs": [[0.5] * 10]}
        answer = service.client.post("/v1/sessions/s/steps", json=step)
        assert refused(answer, 409, "model_mismatch")["advanced"] is False


@pytest.mark.parametrize("harm", ["one byte", "missing file", "manifest", "checksum"])
def test_corrupt_artifact_is_refused(own: Path, harm: str) -> None:
    """A corrupt artifact is refused by name, in /readyz and the log, while others are served."""
    folder = own / MODEL / "1"
    program = next(folder.glob("*.onnx"))
    if harm == "one byte":
        data = bytearray(program.read_bytes())
        data[len(data) // 2] ^= 1
        program.write_bytes(data)
    elif harm == "missing file":
        program.unlink()
    elif harm == "manifest":
        (folder / "manifest.json").write_text("{")
    else:
        text = (folder / "manifest.json").read_text()
        changed = re.sub(r'"sha256": "(.)', lambda match: f'"sha256": "{_other(match[1])}', text)
        (folder / "manifest.json").write_text(changed)
    with Live(own) as service:
        ready = service.client.get("/readyz")
        [refusal] = ready.json()["refused"]
        assert (ready.status_code, refusal["model"], refusal["version"]) == (200, MODEL, 1)
        assert refusal["reason"]
        assert str(own) not in ready.text
        assert any(f"refused {MODEL}/1" in line for line in service.logs)
        assert service.client.get("/v1/models/gru-10-20-2").status_code == 200
        refused(service.client.get(f"/v1/models/{MODEL}"), 404, "model_not_found")


def test_empty_repository_is_not_ready(tmp_path: Path) -> None:
    """A service without a model runs, and says that it is not ready."""
    with Live(tmp_path) as service:
        answer = service.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "no model")
        assert service.client.get("/livez").status_code == 200


def test_metrics_count(live: Live) -> None:
    """/metrics counts requests by route and status, and the steps that each model ran."""

    def read(name: str) -> float:
        text = live.client.get("/metrics").text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    route = 'carousel_http_requests_total{route="/v1/models/{model}/infer",status="200"}'
    steps = f'carousel_model_steps_total{{model="{MODEL}",version="1"}}'
    before = read(route), read(steps)
    live.client.post(INFER, content=numbers(3, 10).tobytes(), headers=RAW)
    assert (read(route), read(steps)) == (before[0] + 1, before[1] + 3)
    assert read("process_resident_memory_bytes") > 0
    live.client.get("/v1/none/of/these")
    assert "none/of" not in live.client.get("/metrics").text


def test_docs_need_no_internet(live: Live) -> None:
    """/docs and what it loads come from this service alone, and its policy allows nothing else."""
    page = live.client.get("/docs")
    assert "'self'" in page.headers["content-security-policy"]
    assert not re.search(r"https?://", page.text)
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 4
    for link in links:
        answer = live.client.get(link)
        assert answer.status_code == 200
        assert answer.content
    assert "SwaggerUIBundle" in live.client.get("/docs/swagger-ui-bundle.js").text
    refused(live.client.get("/docs/__init__.py"), 404, "not_found")
    assert not re.search(r"https?://", live.client.get("/").text)


def test_broken_requests_are_bounded(live: Live) -> None:
    """Headers without end are cut off; what is no HTTP is answered 400."""
    host, port = live.url.removeprefix("http://").split(":")
    for sent in (b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 400_000, b"nonsense\r\n\r\n"):
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            received = b""
            try:
                connection.sendall(sent)
                while piece := connection.recv(65536):
                    received += piece
            except ConnectionError:
                pass
            assert received.startswith(b"HTTP/1.1 400 ") or not received
    assert live.client.get("/livez").status_code == 200


def test_client_that_leaves_harms_nobody(live: Live) -> None:
    """A client that goes away in the middle of its request leaves the service as it was."""
    host, port = live.url.removeprefix("http://").split(":")
    x = numbers(5_000, 10)
    head = f"POST {INFER} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {x.nbytes}\r\n"
    start = head.encode() + b"Content-Type: application/octet-stream\r\n\r\n"
    for sent in (start + bytes(100), start + x.tobytes()):
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            connection.sendall(sent)
    answer = live.client.post(INFER, content=x[:1].tobytes(), headers=RAW)
    assert np.isfinite(np.frombuffer(answer.content, "<f4")).all()


def test_unknown_variable_is_logged(own: Path) -> None:
    """A slip in a variable's name is a warning at the start."""
    with Live(own, env={"CAROUSEL_PORTT": "1"}) as service:
        assert any("did you mean CAROUSEL_PORT?" in line for line in service.logs)


def test_logs_are_one_line_each(live: Live) -> None:
    """Every log line is key=value on one line."""
    form = re.compile(r'time=\S+Z level=(info|warning|error) logger=[\w.]+ msg=".*"')
    assert live.logs
    assert all(form.fullmatch(line) for line in live.logs)


def test_module_and_command_are_one() -> None:
    """`python -m carousel.service` is `carousel-serve`."""
    assert run_to_end(["--help"]).out.startswith("usage: carousel-serve")


def _other(digit: str) -> str:
    return "0" if digit != "0" else "1"
