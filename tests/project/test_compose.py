"""What the compose files promise, read from the files: no engine is needed."""

import ast
from typing import Any

import pytest
import yaml

from carousel.service.load_settings import unknown_variables
from carousel.service.settings import Settings
from tests.harness.process import ROOT
from tests.project.dockerfile import variables


class _Loader(yaml.SafeLoader):
    """Compose's own tag: `!override` replaces a list where merging would join it."""


class _Override(list[Any]):
    pass


def _construct_override(loader: yaml.SafeLoader, node: yaml.Node) -> _Override:
    assert isinstance(node, yaml.SequenceNode)
    return _Override(loader.construct_sequence(node))


_Loader.add_constructor("!override", _construct_override)


def _compose(*files: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for file in files:
        document = yaml.load((ROOT / file).read_text(), _Loader)
        merged = _merge(merged, document)
    return merged


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merge(below.get(key), value) for key, value in above.items()}
    if isinstance(below, list) and isinstance(above, list) and not isinstance(above, _Override):
        return below + above
    return above


LOCAL = _compose("docker-compose.yml")["services"]
PUBLIC = _compose("docker-compose.yml", "docker-compose.public.yml")["services"]


@pytest.mark.parametrize("name", ["models", "carousel"])
def test_compose_takes_rights_and_bounds_use(name: str) -> None:
    """Read-only root, no capabilities, no new privileges; cores, memory and processes limited."""
    service = LOCAL[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"cpus", "mem_limit", "pids_limit"} <= service.keys()
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert "privileged" not in service


def test_compose_fills_the_volume_before_it_serves() -> None:
    """The one-shot service writes the models' volume; the service waits for it and only reads."""
    assert LOCAL["models"]["build"]["target"] == "export"
    assert LOCAL["models"]["command"][:3] == ["--zoo", "all", "--if-missing"]
    assert LOCAL["models"]["restart"] == "no"
    assert LOCAL["models"]["volumes"] == ["models:/models"]
    assert "models:/models:ro" in LOCAL["carousel"]["volumes"]
    assert LOCAL["carousel"]["build"]["target"] == "cpu"
    assert LOCAL["carousel"]["depends_on"] == {
        "models": {"condition": "service_completed_successfully"}
    }


@pytest.mark.parametrize("services", [LOCAL, PUBLIC])
def test_compose_keeps_sessions(services: dict[str, Any]) -> None:
    """A named volume, writable on a read-only root, holds what the image writes; the service has
    no other.
    """
    assert services["carousel"]["volumes"] == ["models:/models:ro", "sessions:/data"]
    assert services["models"]["volumes"] == ["models:/models"]
    assert variables("cpu")["CAROUSEL_DATA_DIR"] == "/data"
    assert {"CAROUSEL_STORE", "CAROUSEL_DATA_DIR"} & services["carousel"]["environment"].keys() == (
        set()
    )
    assert _compose("docker-compose.yml")["volumes"].keys() == {"models", "sessions"}


def test_compose_is_local_without_a_key() -> None:
    """Without a key the port is published on 127.0.0.1 alone."""
    assert LOCAL["carousel"]["environment"] == {"CAROUSEL_INSECURE": "on"}
    assert LOCAL["carousel"]["ports"] == ["127.0.0.1:8000:8000"]


def test_public_compose_demands_a_key() -> None:
    """On all addresses only with a key: unset or empty, compose itself refuses."""
    environment = PUBLIC["carousel"]["environment"]
    assert PUBLIC["carousel"]["ports"] == ["8000:8000"]
    assert environment["CAROUSEL_INSECURE"] == "off"
    assert environment["CAROUSEL_API_KEY"].startswith("${CAROUSEL_API_KEY:?")
    assert unknown_variables(environment) == []


def test_compose_waits_for_the_drain() -> None:
    """A stop leaves more time than accepted requests may take."""
    grace = int(LOCAL["carousel"]["stop_grace_period"].removesuffix("s"))
    assert grace > Settings().drain_delay_s + Settings().drain_timeout_s


def test_compose_healthcheck_needs_no_curl() -> None:
    """The container's Python asks /readyz."""
    kind, program, flag, code = LOCAL["carousel"]["healthcheck"]["test"]
    assert (kind, program, flag) == ("CMD", "python", "-c")
    assert "/readyz" in code
    ast.parse(code)


def test_compose_passes_what_chooses_packages_on() -> None:
    """Of all services the builds have the same arguments, and none has a value of its own."""
    names = {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "TORCH_BACKEND"}
    for service in LOCAL.values():
        assert service["build"]["args"] == {name: f"${{{name}:-}}" for name in names}
