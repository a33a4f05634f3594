"""Exports modules of public libraries as their users would, checks the programs independently, and
writes docs/field.md.

Each group of libraries has an environment of its own beside the pinned torch. A library that does
not install, fails or takes too long does not stop the others. Results are kept in the cache; the
page is written from those of all groups.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.field.environment import ROOT, Environment
from benchmarks.field.group import GROUPS, Group, Library
from benchmarks.field.result import Result
from benchmarks.field.table import render
from benchmarks.progress import say

_LIBRARY_S = 1800


def main() -> int:
    """Run the groups and write the page; a module that is not right is no failure."""
    options = _parse()
    chosen = [each for each in GROUPS if each.name in (options.only or _names())]
    kept: Path = options.cache / "results"
    kept.mkdir(parents=True, exist_ok=True)
    for group in [] if options.table else chosen:
        results = _run(group, options.cache)
        (kept / f"{group.name}.jsonl").write_text("".join(each.line() + "\n" for each in results))
    files = [kept / f"{group.name}.jsonl" for group in GROUPS]
    found = [
        Result.parse(line)
        for file in files
        if file.exists()
        for line in file.read_text().splitlines()
    ]
    page: Path = options.page
    page.parent.mkdir(exist_ok=True)
    page.write_text(render(found))
    say(f"field: {page} has {len(found)} modules")
    return 0


def _run(group: Group, cache: Path) -> list[Result]:
    """The results of one group, whatever fails."""
    environment = Environment(cache / "environments" / group.name)
    say(f"{group.name}: making its environment")
    try:
        environment.prepare()
    except subprocess.SubprocessError as error:
        return [_absent(each, f"no environment: {error}") for each in group.libraries]
    results: list[Result] = []
    for library in group.libraries:
        try:
            missing = environment.install(library)
        except subprocess.TimeoutExpired:
            missing = "pip took too long"
        done = [_absent(library, missing)] if missing else _try(library, environment, cache)
        for each in done:
            say(f"{each.library}: {each.module}: {each.outcome}: {each.found[:100]}")
        results += done
    return results


def _try(library: Library, environment: Environment, cache: Path) -> list[Result]:
    """The results of one library; a process that ended early leaves those that it had."""
    say(f"{library.package}: exporting")
    log = cache / "results" / f"{library.package}.log"
    with TemporaryDirectory() as scratch:
        lines = Path(scratch) / "lines"
        command = ["-m", "benchmarks.field.run", library.package]
        command += ["--repository", f"{scratch}/repository", "--results", str(lines)]
        code = environment.run(command, _LIBRARY_S, log)
        text = lines.read_text() if lines.exists() else ""
    done = [Result.parse(line) for line in text.splitlines()]
    if code != 0:
        what = "took too long" if code is None else f"ended with {code}"
        done.append(Result(library.package, "", "the rest", "traceback", what, "nothing"))
    return done


def _absent(library: Library, reason: str) -> Result:
    return Result(library.package, "", "", "not installed", reason, "nothing")


def _names() -> list[str]:
    return [each.name for each in GROUPS]


def _parse() -> argparse.Namespace:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=_names(), help="this group; may be repeated"
    )
    parser.add_argument("--table", action="store_true", help="write the page from kept results")
    parser.add_argument(
        "--cache",
        type=Path,
        default=home / "carousel-field",
        help="folder of environments and results (default: in the user's cache folder)",
    )
    parser.add_argument(
        "--page", type=Path, default=ROOT / "docs" / "field.md", help="(default docs/field.md)"
    )
    options = parser.parse_args()
    options.cache = options.cache.absolute()
    return options


if __name__ == "__main__":
    sys.exit(main())
