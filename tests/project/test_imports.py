"""Imports point one way, and each library is used only where ARCHITECTURE.md says."""

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Top layer first: a file may import from its own layer and from those behind it. Other files of the
# service (settings, errors, metrics) are leaves and import from no layer.
LAYERS = ("__main__", "admin", "app", "api", "sessions", "engine", "backends")

# The folders of service/api in the same way; `control` and `schema` are files beside them.
API = ("control", "schema", "server", "streams", "v2", "ops", "v1", "openapi", "http", "encoding")

# What is imported by which name, for the graph of all imports.
PACKAGES = {
    "models": "carousel.models",
    "export": "carousel.export",
    "service": "carousel.service",
    "client/carousel_client": "carousel_client",
    "client/carousel_bench": "carousel_bench",
}

WHERE = {
    "fastapi": ("service/app.py", "service/api/", "service/__main__.py"),
    "starlette": ("service/app.py", "service/api/", "service/__main__.py"),
    "asyncio": (
        "service/app.py",
        "service/api/",
        "service/sessions/",
        "service/engine/engine.py",
        "service/engine/turned_away.py",
        "service/event_loop.py",
        "service/__main__.py",
    ),
    "threading": (
        "service/engine/lanes.py",
        "service/engine/runner.py",
        "service/sessions/stores/",
    ),
    "concurrent": ("service/sessions/stores/",),
    "multiprocessing": (),
    # Loaded by `choose.py` for a program that needs it.
    "torch": tuple(
        f"service/backends/{each}.py"
        for each in ("host_link", "linked_backend", "onnx_device", "torch_pool", "torchscript")
    ),
    "pickle": (),
    "marshal": (),
}


def _files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@cache
def _all_imports(path: Path) -> tuple[str, ...]:
    """Full dotted names of what a file imports, also for types alone, wherever in it."""
    return tuple(_imported(path, ast.walk(ast.parse(path.read_text()))))


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Full dotted names of what a file imports when it runs, wherever in it the import stands."""
    tree = ast.parse(path.read_text())
    unused = {
        each
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for each in ast.walk(statement)
    }
    return tuple(_imported(path, (node for node in ast.walk(tree) if node not in unused)))


def _imported(path: Path, nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _found(package: str, *names: str, but: tuple[str, ...] = ()) -> list[str]:
    """`file: import` for each import of one of `names` in `package` outside the places in `but`."""
    return [
        f"{file}: {imported}"
        for path in _files(package)
        if not (file := path.relative_to(ROOT).as_posix()).startswith(but or ("-",))
        for imported in _imports(path)
        if any(imported == name or imported.startswith(name + ".") for name in names)
    ]


def test_packages_point_at_models() -> None:
    """service and export never import each other; models imports neither."""
    assert _found("models", "carousel.service", "carousel.export", "benchmarks") == []
    assert _found("export", "carousel.service", "benchmarks") == []
    assert _found("service", "carousel.export", "benchmarks", "carousel.models.zoo") == []


def test_everything_has_one_name() -> None:
    """The folders are imported as `carousel.*`: by another name each class would exist twice."""
    folders = ("models", "export", "service", "client", "tests", "benchmarks")
    assert [
        each for folder in folders for each in _found(folder, "models", "export", "service")
    ] == []


def test_models_need_no_torch() -> None:
    """What a model is can be read without torch; only the zoo trains."""
    assert _found("models", "torch", "onnx", "onnxruntime", but=("models/zoo/",)) == []


@pytest.mark.parametrize("library", WHERE)
def test_service_uses_library_in_its_place(library: str) -> None:
    """A library is imported only by the files of the service that own it."""
    assert _found("service", library, but=WHERE[library]) == []


def test_service_layers_point_down() -> None:
    """A layer of the service imports from itself and the layers below it; leaves from no layer."""
    wrong = []
    for path in _files("service"):
        layer = path.relative_to(ROOT / "service").with_suffix("").parts[0]
        for imported in _imports(path):
            target = imported.removeprefix("carousel.service.").partition(".")[0]
            ours = imported.startswith("carousel.service.")
            if ours and target in LAYERS and not _may_import(LAYERS, layer, target):
                wrong.append(f"{path.relative_to(ROOT)}: {imported}")
    assert wrong == []


def test_the_operators_tool_stands_beside_the_service() -> None:
    """carousel-sessions speaks HTTP or opens a stopped store; it carries no service in it."""
    layers = ("app", "api", "engine", "backends")
    assert _found("service/admin", *(f"carousel.service.{each}" for each in layers)) == []


def test_the_client_is_the_operators_tools_alone() -> None:
    """The service needs no client of itself, and of the tool only what asks a service."""
    ours = ("carousel_client", "httpx")
    asks = ("archive", "connection", "listing", "remote", "transfer")
    places = tuple(f"service/admin/{each}.py" for each in asks)
    assert _found("service", *ours, but=places) == []
    assert [each for folder in ("models", "export") for each in _found(folder, *ours)] == []
    # Loaded by the one place that can say what is missing.
    modules = [f"carousel.service.admin.{each}" for each in asks]
    assert _found("service", *modules, but=(*places, "service/admin/command.py")) == []


def test_the_load_generator_stands_on_the_client() -> None:
    """Whoever uses the client carries no load generator; that one needs nothing of the service."""
    assert _found("client/carousel_client", "carousel_bench") == []
    assert _found("client/carousel_bench", "carousel", "tests", "benchmarks") == []


def test_the_store_runs_without_what_looks_after_its_file() -> None:
    """What checks, rewrites and copies a session file is the operator's tool's alone."""
    stores = "service/sessions/stores/sqlite/"
    upkeep = "carousel.service.sessions.stores.sqlite.upkeep"
    assert _found("service", upkeep, but=("service/admin/", f"{stores}upkeep/")) == []


def test_folders_of_the_api_point_down() -> None:
    """A folder of service/api imports from itself and those behind it in API; none is left out."""
    here = ROOT / "service/api"
    prefix = "carousel.service.api."
    wrong = []
    for path in _files("service/api"):
        folder = path.relative_to(here).with_suffix("").parts[0]
        if folder == "__init__":
            continue
        for imported in _all_imports(path):
            target = imported.removeprefix(prefix).partition(".")[0]
            if imported.startswith(prefix) and not _may_import(API, folder, target):
                wrong.append(f"{path.relative_to(ROOT)}: {imported}")
    assert wrong == []


def test_no_imports_go_in_a_circle() -> None:
    """No module leads back to itself, by whatever imports stand in it: also for types alone."""
    assert _circle(_graph()) == ""


def test_a_circle_is_found_and_named() -> None:
    """What the test above stands on: a circle behind other imports, told from its first module."""
    graph = {"a": ["b"], "b": ["c", "d"], "c": [], "d": ["e"], "e": ["b"]}
    assert _circle(graph) == "b -> d -> e -> b"
    assert _circle(graph | {"e": ["c"]}) == ""


def _may_import(order: tuple[str, ...], layer: str, target: str) -> bool:
    return layer in order and target in order[order.index(layer) :]


def _graph() -> dict[str, list[str]]:
    """Each module of ours and the modules of ours that it imports, for whatever purpose."""
    modules = {
        ".".join([name, *path.relative_to(ROOT / folder).with_suffix("").parts]): path
        for folder, name in PACKAGES.items()
        for path in _files(folder)
    }
    # `from a import b` imports the module a.b, or something of the module a.
    return {
        module: [
            target
            for imported in _all_imports(path)
            for target in (imported, imported.rpartition(".")[0])
            if target in modules
        ]
        for module, path in modules.items()
    }


def _circle(graph: dict[str, list[str]]) -> str:
    """The first circle there is, as `a -> b -> a`; empty where there is none."""
    done: set[str] = set()
    for start in graph:
        way, left = [start], [iter(graph[start])]
        while way:
            target = next(left[-1], None)
            if target is None:
                done.add(way.pop())
                left.pop()
            elif target in way:
                return " -> ".join([*way[way.index(target) :], target])
            elif target not in done:
                way.append(target)
                left.append(iter(graph[target]))
    return ""


def test_no_test_imports_another() -> None:
    """What tests share stands in tests/harness or in a file beside them."""
    found = [
        f"{path.relative_to(ROOT)}: {imported}"
        for package in ("tests", "benchmarks")
        for path in _files(package)
        for imported in _all_imports(path)
        if imported.startswith("tests.")
        and any(p.startswith("test_") for p in imported.split(".")[:-1])
    ]
    assert found == []
