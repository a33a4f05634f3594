"""What version 0.1.0 wrote: later versions read it, serve it, and make the same of the same."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carousel.export.artifact.replay import replay
from carousel.export.legacy import legacy_quiet
from carousel.models.manifest import Manifest, dump_manifest
from carousel.models.repository import Repository
from tests.export.imported.foreign.models import FOREIGN
from tests.export.imported.outcome import run_import
from tests.harness.export_run import proven
from tests.harness.live import Live
from tests.harness.recorded import CASES, RECORDED, recorded

MODELS = Repository(RECORDED / "models")
REFERENCES = 13


@pytest.fixture(scope="module")
def service() -> Iterator[Live]:
    """A service of the recorded artifacts."""
    with Live(MODELS.root) as live:
        yield live


def _told(manifest: Manifest) -> dict[str, Any]:
    """What a manifest says but for times, figures and tools."""
    told: dict[str, Any] = json.loads(dump_manifest(manifest))
    for program in told["programs"].values():
        del program["max_error"], program["step_us"]
    return told


def _same(made: dict[str, Any], before: dict[str, Any]) -> None:
    """All of it, the states' identity above all: sessions of one are sessions of the other."""
    assert made["state_id"] == before["state_id"]
    assert made["programs"] == before["programs"]
    words = {"streaming_reason"}
    spec = {key: value for key, value in made["spec"].items() if key not in words}
    assert spec == {key: value for key, value in before["spec"].items() if key not in words}


@pytest.mark.parametrize("name", CASES)
def test_an_export_says_what_it_said(name: str) -> None:
    """Spec, programs and state_id of a module are those that version 0.1.0 wrote."""
    case = CASES[name]
    made = proven(case.module(), *case.example, **case.options)
    _same(_told(made.manifest), recorded(name))


@pytest.mark.parametrize("name", FOREIGN)
def test_an_import_says_what_it_said(name: str, tmp_path: Path) -> None:
    """The same of a file that was exported elsewhere."""
    foreign = FOREIGN[name]()
    flags = list(foreign.flags)
    if name == "alone":
        flags += ["--initial", str(foreign.write_start(tmp_path))]
    made = run_import(tmp_path, foreign.data, *flags).artifact
    _same(_told(made.manifest), recorded(f"import:{name}"))


@pytest.mark.parametrize("name", MODELS.names())
def test_a_recorded_artifact_holds(name: str) -> None:
    """Its sums, and each of its programs on its golden example."""
    artifact = MODELS.open(name)
    artifact.verify()
    with legacy_quiet():
        assert not replay(artifact)


def test_recorded_artifacts_are_served(service: Live) -> None:
    """All of them: every reference model and an imported one."""
    models = service.client.get("/v1/models").json()["models"]
    assert sorted(each["name"] for each in models) == MODELS.names()
    assert len(models) == REFERENCES + 1
