"""What the tests of `carousel-bench` share: the program, and a server of a test's own."""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.harness.process import PATHS, Ended, run_program

COMMAND = (sys.executable, "-m", "carousel_bench")
# So that one test does not measure for long.
SHORT = ("--seconds", "1", "--warmup", "0", "--sessions", "4")


def bench(url: str, *flags: str, env: Mapping[str, str] | None = None) -> Ended:
    """Run it to its end."""
    return run_program([*COMMAND, url, *flags], PATHS | dict(env or {}), patience_s=100)


def benched(url: str, folder: Path, *flags: str) -> dict[str, Any]:
    """The JSON of a run that must succeed."""
    file = folder / "bench.json"
    ended = bench(url, *flags, "--json", str(file))
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def sent(report: Mapping[str, Any], kind: str, member: str = "done") -> int:
    """What it says it has sent of a kind, whenever."""
    tallies = [report["probe"], *(each["all"] for each in report["runs"])]
    return sum(each["kinds"].get(kind, {member: 0})[member] for each in tallies)


def metric(http: httpx.Client, name: str, **labels: str) -> float:
    """What the service itself has counted, summed over all other labels."""
    total = 0.0
    for line in http.get("/metrics").text.splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? ([\d.e+]+)", line)
        if found and found[1] == name:
            its = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            if labels.items() <= its.items():
                total += float(found[3])
    return total
