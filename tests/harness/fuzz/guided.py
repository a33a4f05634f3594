"""atheris on one target, in a process of its own: `python -m tests.harness.fuzz.guided`.

libFuzzer never returns to its caller and takes the coverage of what is imported while it watches,
so each target has a process. Findings are written as they come, each place once, and it goes on.
"""

import base64
import contextlib
import importlib.util
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.harness.fuzz.target import Finding
from tests.harness.process import PATHS, Process, clean_env

_MAX_BYTES = 4096
_DONE = re.compile(r"Done (\d+) runs")


def is_there() -> bool:
    """Whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def run_guided(target: str, num_inputs: int, seed: int, folder: Path) -> list[Finding]:
    """The findings of so many inputs; what reached something new is kept in `folder`."""
    corpus, found = folder / "corpus" / target, folder / f"{target}.findings"
    corpus.mkdir(parents=True, exist_ok=True)
    found.unlink(missing_ok=True)
    words = [str(each) for each in (target, num_inputs, seed, corpus, found)]
    command = [sys.executable, "-m", "tests.harness.fuzz.guided", *words]
    with Process(command, clean_env(PATHS)) as process:
        # A hundred inputs a second are few for the slowest of them, on a busy machine.
        code = _wait(process, 60 + num_inputs / 100)
        done = [match[1] for line in process.logs for match in [_DONE.search(line)] if match]
        if not done:
            what = f"ended with {code} before it was done: {process.tail()[-600:]}"
            return [*_read(found), Finding(target, "the process", what, b"")]
    return _read(found)


def _wait(process: Process, patience_s: float) -> int | None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(patience_s)
    return None


def _read(path: Path) -> list[Finding]:
    if not path.exists():
        return []
    lines = [json.loads(each) for each in path.read_text().splitlines()]
    smallest: dict[str, Finding] = {}
    for each in lines:
        finding = Finding(
            each["target"], each["where"], each["what"], base64.b64decode(each["data"])
        )
        known = smallest.get(finding.where)
        if known is None or len(finding.data) < len(known.data):
            smallest[finding.where] = finding
    return list(smallest.values())


def _main(name: str, num_inputs: str, seed: str, corpus: str, found: str) -> None:
    import atheris

    with atheris.instrument_imports(include=["carousel", "carousel_client"]):
        from tests.harness.fuzz.targets import all_targets
    target = all_targets()[name]
    for index, each in enumerate(target.seeds):
        (Path(corpus) / f"seed-{index}").write_bytes(each)
    sizes: dict[str, int] = {}

    def attempt(data: bytes) -> None:
        finding = target.attempt(data)
        if finding is None or len(data) >= sizes.get(finding.where, _MAX_BYTES + 1):
            return
        sizes[finding.where] = len(data)
        document = {"target": name, "where": finding.where, "what": finding.what,
                    "data": base64.b64encode(data).decode(), "at": time.time()}  # fmt: skip
        with Path(found).open("a") as file:
            file.write(json.dumps(document) + "\n")

    options = [f"-runs={num_inputs}", f"-seed={seed}", f"-max_len={_MAX_BYTES}", "-timeout=20"]
    # What ends the process, as a hang does, leaves its input there.
    options.append(f"-artifact_prefix={found}.")
    with contextlib.suppress(SystemExit):
        atheris.Setup([sys.argv[0], *options, "-print_final_stats=0", corpus], attempt)
    atheris.Fuzz()


if __name__ == "__main__":
    _main(*sys.argv[1:])
