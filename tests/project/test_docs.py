"""What the documents name is there: files, headings, flags, verbs, errors, metrics."""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from carousel.service import errors
from carousel.service.admin.flags import make_parser
from carousel.service.errors import CarouselError
from tests.harness.live import Live
from tests.harness.process import PATHS, ROOT, run_program
from tests.harness.readme import PAGES

LINKING = sorted(
    str(file.relative_to(ROOT))
    for file in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "client" / "README.md")
)
# Of programs that are not ours, with the program.
_OTHERS = {
    ("docker", f"--{flag}")
    for flag in ("target", "gpus", "build-arg", "entrypoint", "no-deps", "rm")
}
_PROGRAMS = (
    "carousel.service",
    "carousel.export",
    "carousel.export inspect",
    "carousel.export import",
    "carousel.export check",
    "carousel_bench",
    "benchmarks",
    "benchmarks.sessions",
    "benchmarks.protocols",
    "tests.harness.chaos",
    "tests.harness.fuzz",
    "tests.harness.soak",
    "tests.harness.replicas",
)
# Each as `python -m` runs it, and all in one process: most of a start is imports, which they share.
_HELP_OF_ALL = """
import runpy, sys
for program in sys.argv[1:]:
    module, *words = program.split()
    sys.argv = [module, *words, "--help"]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, program
    else:
        raise AssertionError(program)
"""


def _code_taken_out(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchors(file: Path) -> set[str]:
    """What GitHub calls the headings of a file."""
    headings = re.findall(r"^#+ (.+)$", _code_taken_out(file.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", LINKING)
def test_links_lead_somewhere(page: str) -> None:
    """Each relative link leads to a file that is there, and to a heading of it if it names one."""
    links = re.findall(r"\]\(([^)\s]+)\)", _code_taken_out((ROOT / page).read_text()))
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


def test_index_lists_every_page() -> None:
    """docs/README.md links each page of docs/."""
    index = PAGES["docs/README.md"]
    pages = {file.name for file in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages <= set(re.findall(r"^\| \[[^]]+\]\(([a-z-]+\.md)\) \|", index, re.MULTILINE))


def test_every_flag_is_one() -> None:
    """Each `--flag` in code on a page is a flag of one of our programs."""
    ended = run_program([sys.executable, "-c", _HELP_OF_ALL, *_PROGRAMS], PATHS, patience_s=100)
    assert ended.code == 0, ended.err
    assert ended.out.count("usage: ") == len(_PROGRAMS)
    known = set(_flags(ended.out))
    for verb in _verbs().values():
        known |= set(_flags(verb.format_help()))
    for page, text in PAGES.items():
        for code in re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL):
            others = {flag for program, flag in _OTHERS if program in code}
            unknown = set(_flags(code)) - known - others - {"--quick", "--help"}
            assert not unknown, (page, unknown)


def _flags(text: str) -> list[str]:
    return re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)


def _verbs() -> dict[str, argparse.ArgumentParser]:
    (verbs,) = (
        each for each in make_parser()._actions if isinstance(each, argparse._SubParsersAction)
    )
    return dict(verbs.choices)


def test_every_verb_of_sessions_is_one() -> None:
    """Each verb of `carousel-sessions` on a page is one that it has, and each is on a page."""
    known = set(_verbs())
    code = [each for text in PAGES.values() for each in re.findall(r"`+[^`]+`+", text)]
    named = {verb for each in code for verb in re.findall(r"carousel-sessions ([a-z]+)\b", each)}
    assert named == known


def _all_errors(kind: type[CarouselError]) -> Iterator[type[CarouselError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from _all_errors(each)


def test_every_error_is_on_the_page_with_its_status() -> None:
    """The table of docs/sessions.md has each code that a client can meet, beside its status."""
    table = PAGES["docs/sessions.md"].partition("## Errors")[2]
    rows = [
        (
            set(re.findall(r"\d{3}", row.split("|")[1])),
            set(re.findall(r"`(\w+)`", row.split("|")[2])),
        )
        for row in table.splitlines()
        if re.match(r"\| \d{3}", row)
    ]
    # `conflict` is what its subclasses have in common, and is answered by none.
    ours = [each for each in _all_errors(CarouselError) if each.__module__ == errors.__name__]
    kinds = {each.code: str(each.status) for each in ours if each is not errors.Conflict}
    for code, status in kinds.items():
        assert any(status in statuses and code in codes for statuses, codes in rows), code
    assert {code for _, codes in rows for code in codes} == set(kinds)


def test_every_metric_is_on_the_page(live: Live) -> None:
    """docs/operating.md lists the metrics that `/metrics` has, and no other."""
    live.client.get("/livez")  # so that there is a request to be counted
    answer = live.client.get("/metrics")
    assert answer.status_code == 200
    shown = set(re.findall(r"^(carousel_\w+?)(?:_bucket|_sum|_count)?[{ ]", answer.text, re.M))
    table = PAGES["docs/operating.md"].partition("\n## Metrics\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(carousel_\w+)", table)) == shown
