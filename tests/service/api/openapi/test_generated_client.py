"""A client that a well-known generator makes of /openapi.json, and what it does with a service."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.client import MODEL
from tests.harness.live import Live

# It reads bodies of a few media types alone, and takes others for one of them where it is told to.
CONFIG = """
content_type_overrides:
  application/x-safetensors: application/octet-stream
post_hooks: []
"""
STEP = [[0.1 * feature for feature in range(10)]]


@pytest.fixture(scope="module")
def generated(shared_live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the package that was made."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_bytes(shared_live.client.get("/openapi.json").content)
    (folder / "config.yaml").write_text(CONFIG)
    command = [
        *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
        *("--path", "openapi.json", "--config", "config.yaml"),
        *("--output-path", "made_client", "--fail-on-warning"),
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(folder))
    yield "made_client"
    sys.path.remove(str(folder))
    for name in [each for each in sys.modules if each.partition(".")[0] == "made_client"]:
        del sys.modules[name]


def _part(generated: str, name: str) -> Any:
    return importlib.import_module(f"{generated}.{name}")


def test_it_opens_a_session_and_steps(live: Live, generated: str) -> None:
    """As its user writes it: nothing but names that the generator made."""
    with _part(generated, "client").Client(base_url=live.url) as client:
        models = _part(generated, "models")
        opened = _part(generated, "api.sessions.open_session").sync(
            client=client, body=models.OpenSession(model=MODEL)
        )
        step = _part(generated, "api.steps.step")
        for position in range(3):
            body = models.StepBody(inputs=STEP, position=position)
            result = step.sync(client=client, session_id=opened.session_id, body=body)
            assert result.position == position + 1
        # Its bodies say what is usual, whatever its arguments say.
        body = models.StepBody(inputs=STEP)
        tried = step.sync(
            client=client, session_id=opened.session_id, body=body, commit=False, return_state=True
        )
        assert tried.position == 4
        assert set(tried.state.to_dict()) == {"h", "c"}
        told = _part(generated, "api.sessions.get_session").sync(
            client=client, session_id=opened.session_id
        )
        assert told.position == 3
        live.client.delete(f"/v1/sessions/{opened.session_id}")
