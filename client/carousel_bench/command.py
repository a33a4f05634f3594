"""The program: `carousel-bench`."""

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from carousel_bench.bench import Bench, Result
from carousel_bench.failure import Failure
from carousel_bench.flags import Outputs, read
from carousel_bench.progress import Progress
from carousel_bench.report.document import document
from carousel_bench.report.page import page
from carousel_bench.report.table import table

_INTERRUPTED = 128 + signal.SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 0 done, 1 could not, 2 wrong usage, 130 Ctrl-C."""
    signal.signal(signal.SIGTERM, _end)
    try:
        return _run(arguments)
    except Failure as failure:
        _say(str(failure))
        return 1
    except KeyboardInterrupt:
        _say("interrupted")
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read the report has gone; what Python would still flush at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(arguments: Sequence[str] | None) -> int:
    asked = read(None if arguments is None else list(arguments), os.environ)
    outputs = asked.outputs
    _check_writable(outputs)
    # The server is asked itself, whatever proxy is there for the rest of the world.
    os.environ["NO_PROXY"] = "*"
    progress = Progress(sys.stderr, quiet=outputs.quiet)
    bench = Bench(asked.settings, progress)
    try:
        bench.run()
    finally:
        # What was measured is worth something also if it was ended early.
        progress.clear()
        if bench.result.runs:
            _report(bench.result, outputs)
    return 0


def _report(result: Result, outputs: Outputs) -> None:
    text = table(result)
    if outputs.json is not None:
        written = json.dumps(document(result), indent=1, allow_nan=False) + "\n"
        if outputs.json == "-":
            sys.stdout.write(written)
        else:
            _write(Path(outputs.json), written)
    if outputs.html is not None:
        _write(outputs.html, page(result))
    (sys.stderr if outputs.json == "-" else sys.stdout).write(text)
    sys.stdout.flush()


def _check_writable(outputs: Outputs) -> None:
    """A minute of load for a file that cannot be written would be lost."""
    for file in (outputs.html, None if outputs.json in (None, "-") else Path(str(outputs.json))):
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise Failure(f"{file} cannot be written: there is no such folder, or it is one")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{file} cannot be written: {error.strerror}") from None


def _say(sentence: str) -> None:
    sys.stderr.write(f"carousel-bench: {sentence}\n")


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Leave as after Ctrl-C, sessions deleted."""
    raise SystemExit(128 + number)
