"""What the images promise, read from their file: no engine is needed."""

import ast
import itertools
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from carousel.service.load_settings import load_settings, unknown_variables
from tests.project.dockerfile import STAGES, lineage, rests, variables

ROOT = Path(__file__).parents[2]
IMAGES = ("cpu", "gpu", "export")
SERVERS = ("cpu", "gpu")


@pytest.mark.parametrize("image", IMAGES)
def test_image_runs_as_a_fixed_user_without_rights(image: str) -> None:
    """The last USER is a numeric id that is not root, and nothing is installed after it."""
    words = [(word, rest) for stage in lineage(image) for word, rest in stage.instructions]
    assert [rest for word, rest in words if word == "USER"] == ["10001:10001"]
    assert words.index(("USER", "10001:10001")) > max(
        at for at, (word, _) in enumerate(words) if word in ("RUN", "COPY")
    )


@pytest.mark.parametrize("image", IMAGES)
def test_image_starts_its_command_itself(image: str) -> None:
    """Exec form: signals reach the program, which SIGTERM drains."""
    (entry,) = rests(image, "ENTRYPOINT")
    assert json.loads(entry) == ["carousel-export" if image == "export" else "carousel-serve"]
    assert rests(image, "STOPSIGNAL") == ["SIGTERM"]
    assert variables(image)["PYTHONDONTWRITEBYTECODE"] == "1"


@pytest.mark.parametrize("image", SERVERS)
def test_healthcheck_needs_no_curl(image: str) -> None:
    """The image's own Python asks /readyz, on the port that is set."""
    (check,) = rests(image, "HEALTHCHECK")
    program, flag, code = json.loads(check[check.index("[") :])
    assert (program, flag) == ("python", "-c")
    assert "/readyz" in code
    ast.parse(code)
    assert rests(image, "EXPOSE") == [variables(image)["CAROUSEL_PORT"]]


@pytest.mark.parametrize("image", SERVERS)
def test_image_alone_refuses_to_be_open(image: str) -> None:
    """It listens on all addresses and has no key and no leave to do without one."""
    environment = variables(image)
    assert environment["CAROUSEL_HOST"] == "0.0.0.0"
    assert not {"CAROUSEL_INSECURE", "CAROUSEL_API_KEY"} & environment.keys()


@pytest.mark.parametrize("image", IMAGES)
def test_sessions_are_kept_on_a_volume(image: str) -> None:
    """Where sessions are written by default is a volume that the image's user owns alone; the
    exporter has none.
    """
    volumes = rests(image, "VOLUME")
    if image not in SERVERS:
        assert volumes == ["/models"]
        return
    settings = load_settings(["--insecure"], variables(image))
    assert (settings.store, settings.data_dir) == ("sqlite", Path("/data"))
    assert volumes == ["/models", "/data"]
    (made,) = [rest for rest in rests(image, "RUN") if rest.endswith(" /data")]
    assert {"--owner=10001", "--group=10001", "--mode=0700"} <= set(made.split())
    # What is changed below a volume after its line is lost.
    words = [(word, rest) for stage in lineage(image) for word, rest in stage.instructions]
    assert words.index(("RUN", made)) < words.index(("VOLUME", "/data"))


@pytest.mark.parametrize("image", IMAGES)
def test_image_sets_variables_that_exist(image: str) -> None:
    """Every CAROUSEL_ variable of an image is a setting."""
    assert unknown_variables(variables(image)) == []


def test_everything_installed_is_pinned() -> None:
    """Each pip install obeys constraints.txt or installs the wheel alone."""
    runs = [rest for stage in STAGES.values() for rest in stage.rests("RUN")]
    installs = [run for run in runs if "pip install" in run]
    assert installs
    assert all("-c constraints.txt" in run or "--no-deps" in run for run in installs)


@pytest.mark.parametrize(("stage", "build"), [("torch-packages", ""), ("cuda-packages", "pip")])
def test_pytorch_is_chosen_as_in_a_set_up(stage: str, build: str) -> None:
    """Where nothing is said export gets the CPU build and gpu pip's; uv stays in neither."""
    assert f"TORCH_BACKEND={build}" in STAGES[stage].rests("ARG")
    (run,) = STAGES[stage].rests("RUN")
    first, second, last = (" ".join(each.split()) for each in run.split("&&"))
    assert first == "python install_torch.py $TORCH_BACKEND"
    assert second.startswith("pip install -c constraints.txt -r torch.txt")
    assert last == "pip uninstall --yes uv"


@pytest.mark.parametrize(
    ("image", "packages"),
    [("cpu", "service-packages"), ("gpu", "cuda-packages"), ("export", "torch-packages")],
)
def test_image_takes_the_packages_that_are_its_own(image: str, packages: str) -> None:
    """Each image has one environment, from one stage."""
    (copied,) = rests(image, "COPY")
    assert copied.split()[0] == f"--from={packages}"


def test_every_dependency_has_a_pin() -> None:
    """constraints.txt names every package that pyproject.toml asks for, at one version in range."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins)
    pinned = {_normal(name): version for name, version in (pin.split("==") for pin in pins)}
    for each in (*_wanted("."), *_wanted("client")):
        assert pinned[_normal(each.name)] in each.specifier, each


@pytest.mark.parametrize(("name", "next_release"), [("uvicorn", "0.55.0"), ("websockets", "18.0")])
def test_what_is_used_from_within_has_a_bound(name: str, next_release: str) -> None:
    """A release that may change what is subclassed or looked into is not taken by itself."""
    (wanted,) = (each for each in _wanted(".") if each.name == name)
    assert next_release not in wanted.specifier


def _wanted(folder: str) -> list[Requirement]:
    """What a pyproject.toml asks for, with all extras; the client aside, which is of this tree."""
    project, client = _project(folder), _project("client")
    extras = project.get("optional-dependencies", {}).values()
    own = f"{client['name']}=={client['version']}"
    asked = (*project["dependencies"], *itertools.chain.from_iterable(extras))
    return [Requirement(each) for each in asked if each != own]


def test_cpu_image_has_no_torch(tmp_path: Path) -> None:
    """Its packages are pyproject's dependencies and the client's alone; the Dockerfile's own step
    says so.
    """
    (tmp_path / "client").mkdir()
    for name in ("pyproject.toml", "client/pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    _, flag, code = json.loads(STAGES["lists"].rests("RUN")[0])
    subprocess.run([sys.executable, flag, code], cwd=tmp_path, check=True, timeout=30)
    service = (tmp_path / "service.txt").read_text().split()
    assert not any(name.startswith(("torch", "onnx>")) for name in service)
    assert any(name.startswith("onnxruntime") for name in service)
    assert set(_project("client")["dependencies"]) <= set(service)
    assert "torch" in (tmp_path / "torch.txt").read_text()
    assert [rest for rest in STAGES["cpu"].rests("COPY") if "torch" in rest] == []
    assert "-r torch.txt" not in " ".join(rests("service-packages", "RUN"))


@pytest.mark.parametrize("stage", ["service-packages", "torch-packages", "cuda-packages"])
def test_code_does_not_invalidate_dependencies(stage: str) -> None:
    """The stages that install packages see lists of names, and none of the code."""
    sources = {word for rest in rests(stage, "COPY") for word in rest.split()}
    code = {"carousel", "models", "export", "service", "client", ".", "pyproject.toml"}
    assert not sources & code


def test_build_context_holds_what_is_copied() -> None:
    """.dockerignore lets in the paths that the Dockerfile copies, and nothing else."""
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        source
        for stage in STAGES.values()
        for rest in stage.rests("COPY")
        if "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / source).exists() for source in copied)
    assert "*" in ignore


def _project(folder: str) -> Any:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
