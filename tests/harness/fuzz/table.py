"""The table of a run, in Markdown, and its place on a page."""

import os
import platform
import re
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.harness.fuzz.outcome import Outcome
from tests.harness.fuzz.progress import Progress
from tests.harness.fuzz.watcher import Watched

_MARKS = ("<!-- fuzz: from `make fuzz` -->", "<!-- end of fuzz -->")
_HEAD = """\
| tried | inputs | answers | slowest `/livez`, ms | MB before | peak | after | held |
| --- | ---: | --- | ---: | ---: | ---: | ---: | --- |"""
_KINDS = ("wire", "schema", "bytes")


def table(progress: Progress) -> str:
    """What was tried and what came of it, a row a kind, and a row a bomb."""
    rows = [_HEAD]
    for kind in _KINDS:
        found = {name: each for name, each in progress.done.items() if name.split()[0] == kind}
        if found:
            rows.append(_row(_named(kind, len(found)), found.values()))
    rows += [
        _row(name.partition(" ")[2], [each])
        for name, each in progress.done.items()
        if name.startswith("bombs ")
    ]
    broken = [each for outcome in progress.done.values() for each in outcome.broken()]
    tail = "".join(f"\n- {each}" for each in broken) or " none."
    seconds = sum(each.seconds for each in progress.done.values())
    took = f"{progress.inputs:,} inputs in {seconds / 60:.0f} minutes"
    head = f"{took}; seed {progress.seed}; {_where()}."
    return "\n".join((head, "", *rows, "", f"Findings of this run:{tail}"))


def write_page(page: Path, progress: Progress) -> None:
    """Put the table between the marks of a page."""
    replace_between(page, _MARKS, table(progress))


def replace_between(page: Path, marks: tuple[str, str], text: str) -> None:
    """Put `text` between two marks, which the page has."""
    first, last = marks
    before, _, rest = page.read_text().partition(first)
    after = rest.partition(last)[2]
    page.write_text(f"{before}{first}\n\n{text}\n\n{last}{after}")


def _named(kind: str, number: int) -> str:
    return {
        "wire": "raw sockets: cuts at every byte, mutants, pipelines, streams, beside slow clients",
        "schema": "schemathesis, all checks",
        "bytes": f"{number} decoders",
    }[kind]


def _row(name: str, outcomes: Iterable[Outcome]) -> str:
    inputs, statuses, broken = 0, Counter[str](), 0
    seen: Watched | None = None
    for each in outcomes:
        inputs += each.inputs
        statuses += each.statuses
        broken += len(each.broken())
        seen = each.seen
    answers = ", ".join(f"{number:,} of {status}" for status, number in sorted(statuses.items()))
    held = "yes" if not broken else f"**no**: {broken}"
    livez, memory = "", " | | "
    if seen is not None:
        livez = f"{seen.slowest_ms:.0f}"
        memory = f"{seen.rss_before_mb:.0f} | {seen.rss_peak_mb:.0f} | {seen.rss_after_mb:.0f}"
    return f"| {name} | {inputs:,} | {answers} | {livez} | {memory} | {held} |"


def _where() -> str:
    tools = [f"{each} {_version(each)}" for each in ("atheris", "schemathesis")]
    load = f"load average {os.getloadavg()[1]:.1f}"
    words = [f"{os.cpu_count()} cores", load, f"Python {platform.python_version()}", *tools]
    return re.sub(r"\s+", " ", ", ".join(words))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
