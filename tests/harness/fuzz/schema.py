"""schemathesis against a live service's own schema: all of its checks and phases, sequences too."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

from tests.harness.fuzz.outcome import Outcome
from tests.harness.fuzz.victim import KEY, Victim

# 503 says come again, 504 that the deadline was over which the client had set. What an array of a
# model must be, and what bytes are one, is in the model and not in the schema: a body may fit the
# one and not the other.
_CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503", "504"]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412", "422", "429", "503", "504"]
"""
_COUNTED = re.compile(r'^carousel_http_requests_total\{.*status="(\d+)".*\} ([0-9.e+]+)$', re.M)


def is_there() -> bool:
    """Whether schemathesis is installed."""
    return importlib.util.find_spec("schemathesis") is not None


def run_schema(
    victim: Victim, num_examples: int, seed: int, folder: Path, outcome: Outcome
) -> None:
    """So many examples an operation, and as many of sequences; `outcome` takes what came of it."""
    config, report = folder / "schemathesis.toml", folder / "schemathesis.json"
    config.write_text(_CONFIG)
    report.unlink(missing_ok=True)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"),
        *(f"{victim.live.url}/openapi.json", "--checks", "all", "--seed", str(seed)),
        *("--header", f"Authorization: Bearer {KEY}", "--max-examples", str(num_examples)),
        *("--no-shrink", "--generation-database", "none", "--no-color", "--continue-on-failure"),
        *("--report", "json", "--report-json-path", str(report)),
    ]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    (folder / "schemathesis.log").write_text(ended.stdout + ended.stderr)
    if not report.exists():
        outcome.findings.append(f"schema: no report: {ended.stdout[-300:]}{ended.stderr[-300:]}")
        return
    document = json.loads(report.read_text())
    outcome.inputs += document["test_cases"]["generated"]
    outcome.findings += [
        f"schema: {each['title']}: {', '.join(each['operations'])}" for each in document["failures"]
    ]
    if document["errors"]:
        outcome.findings.append(f"schema: {json.dumps(document['errors'])[:600]}")
    for status, number in _COUNTED.findall(victim.live.client.get("/metrics").text):
        outcome.add(int(status), int(float(number)))
