"""What README.md and docs/ show works as printed, and what they list is what there is."""

import argparse
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import carousel
from carousel.models.repository import Repository
from carousel.service.settings import options
from tests.harness.live import Live
from tests.harness.process import ROOT
from tests.harness.readme import PAGES, README, block_with, blocks, run_script

PRINTED_URL = "http://127.0.0.1:8000"
LETTERS = "ehlo"


@dataclass(frozen=True, slots=True)
class Curl:
    """A curl line, as curl itself would read it."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | None


def _read_curl(line: str) -> Curl:
    parser = argparse.ArgumentParser(exit_on_error=False, add_help=False)
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="body")
    parser.add_argument("url")
    program, *words = shlex.split(line)
    given = parser.parse_args(words)
    assert program == "curl"
    assert given.url.startswith(PRINTED_URL)
    headers = dict(header.split(": ", 1) for header in given.headers)
    if given.body is not None:
        headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
    method = given.method or ("GET" if given.body is None else "POST")
    return Curl(method, given.url.removeprefix(PRINTED_URL), headers, given.body)


def _spell(scores: list[list[float]]) -> str:
    return "".join(LETTERS[row.index(max(row))] for row in scores)


@pytest.fixture(scope="module")
def hello(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service of the model that README and docs/ ask."""
    from carousel import export_model
    from carousel.models.zoo.catalog import REFERENCES

    folder = tmp_path_factory.mktemp("readme")
    reference = REFERENCES["hello-rnn"]
    module = reference.build(lambda line: None)
    export_model(module, reference.example(), name=reference.name, repository=folder, quiet=True)
    with Live(folder) as service:
        yield service


def test_curl_lines_work_as_printed(hello: Live) -> None:
    """Pasted in order, each line succeeds, and whole or step by step the answer spells ohlol."""
    spelled: list[str] = []
    positions: list[int] = []
    for line in "".join(blocks("sh")).splitlines():
        curl = _read_curl(line)
        reply = hello.client.request(
            curl.method, curl.path, headers=curl.headers, content=curl.body
        )
        assert reply.is_success, f"{line}: {reply.text}"
        answer: dict[str, Any] = reply.json() if reply.content else {}
        if curl.path.endswith("/infer"):
            assert _spell(answer["outputs"][0]) == "ohlol"
        elif "outputs" in answer:
            spelled.append(_spell(answer["outputs"]))
        if "position" in answer:
            positions.append(answer["position"])
    assert "".join(spelled) == "ohlol"
    assert positions == [0, 1, 2, 5, 5, 5]


@pytest.mark.parametrize("page", ["docs/lifetimes.md", "docs/operating.md", "docs/versions.md"])
def test_curl_lines_of_a_page_work_as_printed(hello: Live, page: str) -> None:
    """Pasted in order, each line succeeds, and sessions live as long as was asked for."""
    lines = "".join(blocks("sh", page)).splitlines()
    assert lines
    for line in lines:
        curl = _read_curl(line)
        reply = hello.client.request(
            curl.method, curl.path, headers=curl.headers, content=curl.body
        )
        assert reply.is_success, f"{line}: {reply.text}"
        asked = re.search(r'"ttl_s": (\d+)', curl.body or "")
        if asked is not None:
            answer = reply.json()
            (session,) = answer.get("sessions", [answer])
            assert _lives_s(session) == pytest.approx(float(asked[1]), abs=1)


def test_columns_work_as_printed(hello: Live) -> None:
    """What the first line opens is answered again by the second, beside what is not there."""
    answers = []
    for line in blocks("sh", "docs/sessions.md")[0].splitlines():
        curl = _read_curl(line)
        reply = hello.client.request("POST", curl.path, headers=curl.headers, content=curl.body)
        answers.append(reply.json())
    first, second = answers
    assert (first["positions"], first["opened"], first["errors"]) == ([1, 1], [0, 1], {})
    (text,) = blocks("json", "docs/sessions.md")
    printed = json.loads(text.replace("[...]", "[0]"))
    assert second.keys() == printed.keys()
    assert second["positions"] == printed["positions"]
    assert second["replayed"] == printed["replayed"]
    assert second["outputs"] == [first["outputs"][0], None]
    assert printed["errors"]["1"].items() <= second["errors"]["1"].items()


def _lives_s(session: dict[str, str]) -> float:
    ends, used = (datetime.fromisoformat(session[at]) for at in ("expires_at", "last_used_at"))
    return (ends - used).total_seconds()


def test_export_lines_work_as_printed(tmp_path: Path) -> None:
    """The four lines export a model into the folder they name."""
    script = block_with("python", "import export_model")
    assert len(script.splitlines()) == 4
    run_script(script, tmp_path)
    assert Repository(tmp_path / "model-repository").names() == ["my-lstm"]


def test_the_stream_works_as_printed(hello: Live, tmp_path: Path) -> None:
    """The greeting comes first, and after an h the network says o."""
    first, second = run_script(block_with("python", "/stream"), tmp_path, hello).splitlines()
    assert '"position":0' in first
    scores = [float(each) for each in second.strip("[]").split()]
    assert "ehlo"[scores.index(max(scores))] == "o"


def test_the_python_client_works_as_printed(hello: Live, tmp_path: Path) -> None:
    """Letter by letter, the network spells."""
    script = block_with("python", 'session("hello-rnn")')
    assert run_script(script, tmp_path, hello) == "ohlol"


def test_the_import_line_works_as_printed(tmp_path: Path) -> None:
    """It makes an artifact of the package's file, and every flag in the table is one."""
    page = "docs/import.md"
    (line,) = (each for each in blocks("", page) if each.startswith("carousel-export import"))
    program, *arguments = shlex.split(line.replace("\\\n", " "))
    assert (program, arguments[0]) == ("carousel-export", "import")
    package = find_spec("silero_vad")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).parent / "data" / arguments[1]
    command = [sys.executable, "-m", "export", "import", str(file), *arguments[2:], "--quiet"]
    folder = ["--model-repository", str(tmp_path)]
    subprocess.run([*command, *folder], cwd=ROOT, check=True, timeout=100)
    assert Repository(tmp_path).names() == ["silero-vad"]
    shown = subprocess.run(
        [*command[:4], "--help"], cwd=ROOT, check=True, timeout=100, capture_output=True, text=True
    ).stdout
    flags = re.findall(r"`(--[a-z-]+)", PAGES[page])
    assert flags
    assert all(flag in shown for flag in flags)
    assert "carousel.import_model(" in PAGES[page]
    assert callable(carousel.import_model)


def test_forecast_errors_are_those_of_the_recipe() -> None:
    """The printed sunspot errors are what training anew gives (other CPUs round differently)."""
    from carousel.models.zoo.sunspots import evaluate
    from tests.models.zoo.zoo import built

    page = PAGES["docs/reference-models.md"]
    found = re.search(r"error is ([0-9.]+) sunspots;\s.*?has ([0-9]+\.[0-9]+)", page, re.DOTALL)
    assert found is not None
    errors = evaluate(built("simple-lstm"))
    assert float(found[1]) == pytest.approx(errors.model_rmse, abs=2.0)
    assert float(found[2]) == pytest.approx(errors.naive_rmse, abs=0.06)


def test_settings_table_is_complete() -> None:
    """Each setting is in the table, with its flag, default and meaning; no other is."""
    page = PAGES["docs/settings.md"]
    section = re.search(r"<!-- settings:.*?-->\n(.*?)\n<!-- end of settings -->", page, re.DOTALL)
    assert section is not None
    assert section[1] == _settings_table()


def _settings_table() -> str:
    lines = ["| variable | flag | default | meaning |", "| --- | --- | --- | --- |"]
    for option in options():
        flag = f"`{option.flag}`" if option.flag else ""
        default = f"`{option.shown_default}`" if option.shown_default else ""
        choices = ", ".join(f"`{choice}`" for choice in option.bounds.choices)
        meaning = option.meaning + (f" ({choices})" if choices else "")
        lines.append(f"| `{option.variable}` | {flag} | {default} | {meaning} |")
    return "\n".join(lines)


def test_verbs_exist() -> None:
    """Every `make` verb that README or a page of docs/ names is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text()
    code = "\n".join(each for page in PAGES.values() for each in re.findall(r"`+[^`]+`+", page))
    verbs = set(re.findall(r"\bmake ([a-z-]+)\b", code))
    assert {"serve", "test", "bench", "help", "models"} <= verbs
    assert verbs <= set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_readme_is_short_and_begins_with_the_two_commands() -> None:
    """It has 180 lines at most, and `make serve` and `make test` stand in the first 40."""
    lines = README.splitlines()
    assert len(lines) <= 180
    top = "\n".join(lines[:40])
    assert "\nmake serve " in top
    assert "\nmake test " in top


def test_figures_in_readme_are_those_of_the_speed_page() -> None:
    """Each row has its steps a second, p50 and p99 from one row of docs/speed.md."""
    table = README.partition("| load | store |")[2].partition("\n\n")[0]
    rows = [_cells(line) for line in table.splitlines()[2:]]
    assert len(rows) == 10
    measured = [_cells(line) for line in PAGES["docs/speed.md"].splitlines() if line[:2] == "| "]
    for load, _, steps, p50, p99, *_ in rows:
        figures = [each for each in (steps, p50, p99) if each]
        assert any(set(figures) <= set(each) for each in measured), load
    slow = re.search(r"at a time: ([0-9,]+) steps a second where Carousel does ([0-9,]+)", README)
    assert slow is not None
    assert any({slow[1], slow[2]} <= set(each) for each in measured)


def _cells(line: str) -> list[str]:
    return [each.strip() for each in line.split("|")[1:-1]]
