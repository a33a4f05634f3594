"""What a start says: that a port is taken, and lines of curl, on trained models where it can."""

import json
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from carousel import export_model
from carousel.models.zoo.catalog import REFERENCES
from carousel.models.zoo.hello import LETTERS, SAID
from tests.harness.client import MODEL
from tests.harness.live import Live, run_to_end
from tests.harness.process import run_program
from tests.harness.served import Served
from tests.models.zoo.zoo import built

TRAINED = ("hello-rnn", "simple-lstm")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of the two models that have learned something."""
    folder = tmp_path_factory.mktemp("trained")
    for name in TRAINED:
        example = REFERENCES[name].example()
        export_model(built(name), example, name=name, repository=folder, quiet=True)
    return folder


def _printed(service: Live) -> list[str]:
    return [service.wait_for_printed("curl "), service.wait_for_printed("curl ")]


def _paste(line: str) -> Any:
    """The outputs that the answer has."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    done = subprocess.run(line, shell=True, capture_output=True, check=True, timeout=30)
    return json.loads(done.stdout)["outputs"]


def _spell(scores: list[list[float]]) -> str:
    return "".join(LETTERS[row.index(max(row))] for row in scores)


def test_curl_lines_say_hello(trained: Path, repository: Path, tmp_path: Path) -> None:
    """Of all that is served the network is asked that has learned to answer, and it does."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    shutil.copytree(repository / MODEL, tmp_path / MODEL)
    with Live(tmp_path) as service:
        whole, session = _printed(service)
        (scores,) = _paste(whole)
        assert _spell(scores) == SAID
        assert _spell(_paste(session)) == SAID[0]


def test_curl_lines_forecast(trained: Path, repository: Path, tmp_path: Path) -> None:
    """Without hello-rnn it is the trained LSTM."""
    shutil.copytree(trained / "simple-lstm", tmp_path / "simple-lstm")
    shutil.copytree(repository / MODEL, tmp_path / MODEL)
    with Live(tmp_path) as service:
        for line in _printed(service):
            assert "simple-lstm" in line
            assert MODEL not in line
            assert _paste(line)


def test_another_model_of_the_name_is_asked_what_it_takes(
    served: dict[str, Served], tmp_path: Path
) -> None:
    """A model of one's own may be called hello-rnn: its inputs are of its own shape."""
    replace(served[MODEL], name="hello-rnn").export(tmp_path)
    with Live(tmp_path) as service:
        for line in _printed(service):
            assert _paste(line)


@pytest.mark.parametrize("from_flag", [True, False])
def test_a_taken_port_is_told_in_one_line(trained: Path, from_flag: bool) -> None:
    """What listens there, and the way out; exit code 3, and no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        arguments = ["--model-repository", str(trained)]
        given = ["--port", str(port)] if from_flag else []
        ended = run_to_end([*arguments, *given], {"CAROUSEL_PORT": str(port)})
    free = port + 1 if port < 65535 else port - 1
    assert ended.code == 3
    lines = [line for line in ended.err.splitlines() if not line.startswith("time=")]
    assert lines == [
        f"carousel-serve: CAROUSEL_PORT: 127.0.0.1:{port}: something else listens there; expected "
        f"a free port, as in --port {free} (or make serve PORT={free}), or 0 for any"
    ]
    assert ended.out == ""


def test_make_serve_passes_the_port_on(tmp_path: Path) -> None:
    """`make serve PORT=8123` listens there."""
    ended = run_program(["make", "--dry-run", "serve", "PORT=8123", f"VENV={tmp_path}"])
    assert ended.code == 0, ended.err
    assert "carousel-serve --host 127.0.0.1 --port 8123" in ended.out
