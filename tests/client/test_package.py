"""The Python client as a package of its own: what it needs, what it is called, and its README."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import carousel_client.errors
from carousel.service import errors
from carousel_client.errors import CarouselError
from tests.harness.live import Live

CLIENT = Path(__file__).parents[2] / "client"
README = (CLIENT / "README.md").read_text()
PACKAGES = ("carousel_client", "carousel_bench")
COMMAND = "carousel_bench.command:main"
PRINTED_URL = "http://127.0.0.1:8000"


def _errors(module: Any, base: type) -> dict[str, type]:
    return {
        name: each
        for name, each in vars(module).items()
        if isinstance(each, type) and issubclass(each, base)
    }


def _modules() -> list[Path]:
    return [path for each in PACKAGES for path in (CLIENT / each).rglob("*.py")]


def test_every_error_of_the_service_has_its_type() -> None:
    """The same name, code, status and place in the tree; a proxy's and the client's own beside."""
    theirs = _errors(errors, errors.CarouselError)
    ours = _errors(carousel_client.errors, CarouselError)
    own = {"RateLimited", "TooMany", "ConnectionLost", "TakenOver", "BadAnswer"}
    assert ours.keys() - theirs.keys() == own
    assert theirs.keys() <= ours.keys()
    for name in theirs.keys() - {"CarouselError"}:
        theirs_is, ours_is = theirs[name], ours[name]
        assert (ours_is.status, ours_is.code) == (theirs_is.status, theirs_is.code)  # type: ignore[attr-defined]
        above = {each.__name__ for each in theirs_is.__mro__}
        assert above <= {each.__name__ for each in ours_is.__mro__}


def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    """pip builds it, with its types, its one command, and three dependencies."""
    source = tmp_path / "client"
    shutil.copytree(CLIENT, source, ignore=shutil.ignore_patterns("__pycache__", "build"))
    command = (
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"),
        *("--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(source)),
    )
    subprocess.run(command, check=True, timeout=100, capture_output=True)
    (wheel,) = tmp_path.glob("carousel_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(each for each in names if each.endswith("/METADATA"))).decode()
        scripts = archive.read(next(each for each in names if "entry_points" in each)).decode()
    modules = {str(each.relative_to(CLIENT)) for each in _modules()}
    assert {each for each in names if ".dist-info/" not in each} == modules | {
        "carousel_client/py.typed"
    }
    assert scripts.split() == ["[console_scripts]", "carousel-bench", "=", COMMAND]
    needed = re.findall(r"^Requires-Dist: ([a-z]+)", metadata, re.MULTILINE)
    assert sorted(needed) == ["httpx", "numpy", "websockets"]


def test_it_imports_what_it_says_and_nothing_of_the_service() -> None:
    """Neither torch nor anything else of this repository, also not by way of another import."""
    script = "import sys, carousel_client; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd="/",
        env={"PYTHONPATH": str(CLIENT)},
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    )
    loaded = {each.partition(".")[0] for each in done.stdout.split()}
    assert {"httpx", "numpy", "websockets", "carousel_client"} <= loaded
    strangers = {"torch", "onnxruntime", "fastapi", "pydantic", "safetensors", "orjson", "uvicorn"}
    assert not loaded & (strangers | {"carousel", "tests", "benchmarks"})


def test_every_import_is_a_dependency() -> None:
    """What any file of it imports is the standard library, itself, or in pyproject.toml."""
    project = tomllib.loads((CLIENT / "pyproject.toml").read_text())["project"]
    known = {re.match("[a-z]+", each)[0] for each in project["dependencies"]}  # type: ignore[index]
    known |= {*PACKAGES, *sys.stdlib_module_names}
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert {each.name.partition(".")[0] for each in node.names} <= known, path
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None
                assert node.module.partition(".")[0] in known, path


def test_the_readme_works_as_printed(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    """Its Python blocks run in order, but for the address."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 5
    names: dict[str, Any] = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block.replace(PRINTED_URL, live.url), "README.md", "exec"), names)
    names["client"].close()
    assert "20 (1, 20)" in capsys.readouterr().out


def test_the_readme_names_what_there_is() -> None:
    """Each error in its table is one, and each method it shows exists."""
    table = re.findall(r"^\| (`.*?) \|", README, re.MULTILINE)
    for name in re.findall(r"`(\w+)`", " ".join(table)):
        assert name in _errors(carousel_client.errors, CarouselError)
