"""What runs inside an environment: the cases of one library, a line of JSON for each."""

import argparse
import importlib
import re
import signal
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import torch

from benchmarks.field.case import Case
from benchmarks.field.group import LIBRARIES, Library
from benchmarks.field.judge import Judge, Verdict, built
from benchmarks.field.result import Outcome, Result
from carousel import export_model
from carousel.export.errors import ExportError
from carousel.models.artifact import Artifact

_MODULE_S = 300
_MAX_TEXT = 600


class _TooLong(BaseException):
    """A module took longer than it may; no library catches it by accident."""


def main() -> int:
    """Run one library's cases; the results go to a file, so that what libraries print does not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field.run")
    parser.add_argument("library", choices=list(LIBRARIES))
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--module", help="those alone whose name holds this")
    options = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGALRM, _interrupt)
    library = LIBRARIES[options.library]
    cases: tuple[Case, ...] = importlib.import_module(library.cases).CASES
    with options.results.open("w") as results:
        for case in cases:
            if options.module is None or options.module in case.name:
                results.write(_result(library, case, options.repository).line() + "\n")
                results.flush()
    return 0


def _interrupt(signum: int, stack: FrameType | None) -> None:
    raise _TooLong


def _result(library: Library, case: Case, repository: Path) -> Result:
    torch.manual_seed(0)
    result = Result(
        library.package,
        version(library.package),
        case.name,
        outcome="not built",
        found="",
        serves=case.serves,
        why=case.why,
    )
    began = time.monotonic()
    signal.alarm(_MODULE_S)
    try:
        module, example, judge = built(case), case.example(), Judge(case)
        result, began = replace(result, outcome="traceback"), time.monotonic()
        name = "".join(each if each.isalnum() else "-" for each in case.name.lower()).strip("-")
        artifact = export_model(module, example, name=name, repository=repository)
        result = replace(result, seconds=round(time.monotonic() - began, 1))
        return _judged(result, artifact, judge.verdict(artifact))
    except ExportError as refusal:
        result = replace(result, outcome="refused", found=_plain(str(refusal)))
    except _TooLong:
        result = replace(result, found=f"more than {_MODULE_S} s")
    except Exception as raised:
        result = replace(result, found=_plain(f"{type(raised).__name__}: {raised}"))
        sys.excepthook(type(raised), raised, raised.__traceback__)
    finally:
        signal.alarm(0)
    return replace(result, seconds=round(time.monotonic() - began, 1))


def _judged(result: Result, artifact: Artifact, verdict: Verdict) -> Result:
    """The result of a module that was exported."""
    streaming = artifact.manifest.spec.streaming
    outcome: Outcome = "whole" if streaming == "none" else streaming
    found = _found(artifact)
    if not verdict.varied:
        found += "; of the example's sizes alone"
    if not verdict.is_right:
        outcome, found = "wrong", f"claims {outcome}: {found}; {verdict.what}"
    found = _plain(found)
    return replace(result, outcome=outcome, found=found, error=verdict.error, varied=verdict.varied)


def _plain(text: str) -> str:
    """On one line, without the folders of this machine and the addresses of this process."""
    text = re.sub(r" at: 0x[0-9a-f]+", "", " ".join(text.split()))
    text = re.sub(r"/[^\s:]*/(site-packages|benchmarks)/", "", text)
    return text[:_MAX_TEXT]


def _found(artifact: Artifact) -> str:
    spec = artifact.manifest.spec
    shapes = [f"{each.name}{list(each.session_shape)}" for each in spec.states]
    text = f"states {', '.join(shapes)}" if shapes else "no states"
    if spec.is_framed:
        text += "; a frame a run"
    elif spec.run_steps is not None:
        text += f"; {spec.run_steps} step a run"
    if spec.streaming == "none" and spec.streaming_reason:
        text += f"; {spec.streaming_reason}"
    return text


if __name__ == "__main__":
    sys.exit(main())
