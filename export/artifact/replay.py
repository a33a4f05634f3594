"""The golden example in a fresh process: proof that the files alone are the model.

One process stands ready from the first export on, with its imports done, and makes a child for each
artifact: neither ever sees the user's code, nor what operators and classes this process has
registered. It ends with this process, whose end of a pipe it reads.
"""

import atexit
import os
import select
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import torch

import carousel
from carousel.export.errors import ExportRefused
from carousel.export.legacy import legacy_quiet
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import only
from carousel.export.measured.tolerance import Difference, Tolerance, worst
from carousel.export.programs.runtime import load_call
from carousel.models.artifact import Artifact
from carousel.models.manifest import ProgramKind

_ROOT = Path(carousel.__file__).parents[1]
_TIMEOUT_S = 300
_COMMAND = "from carousel.export.artifact.replay import stand_ready; stand_ready()"
_SOUND = "sound"


def prepare() -> None:
    """Have the process begin its imports, so that they cost an export no time."""
    _ready(os.getpid())


def check(name: str, folder: Path) -> None:
    """Replay the golden example of the artifact in `folder`; raises ExportRefused unless every
    program holds.
    """
    said = _ready(os.getpid()).ask(f"{name}\t{folder.resolve()}\n")
    if said != _SOUND:
        raise ExportRefused(
            f"in a fresh process the programs do not answer the same: {said}",
            "give a file that needs nothing but torch, or report this: with a module it is a fault "
            "of the exporter",
        )


class _Ready:
    """The process that stands ready; one question at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start()
        atexit.register(self._stop)

    def __repr__(self) -> str:
        return f"<_Ready pid={self._process.pid}>"

    def ask(self, question: str) -> str:
        """The line that the process answers; what happened to it where it answers none."""
        with self._lock:
            if self._process.poll() is not None:
                self._start()
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(question)
            self._process.stdin.flush()
            if not select.select([self._process.stdout], [], [], _TIMEOUT_S)[0]:
                self._stop()
                return f"no answer within {_TIMEOUT_S} s"
            return self._process.stdout.readline().strip() or "the process has ended"

    def _start(self) -> None:
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            process_group=0,  # Ctrl-C is for the export, which ends this process too
        )

    def _stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@cache
def _ready(pid: int) -> _Ready:
    """That of this process: what a fork has of its parent's is the parent's."""
    return _Ready()


def replay(artifact: Artifact) -> list[str]:
    """What differs between the golden example and each program's answer; empty if nothing."""
    return [
        f"{kind}: error {far.error:.1e}, bound {far.bound:.1e}"
        for kind, far in beside_golden(artifact).items()
        if not far.passes
    ]


def beside_golden(artifact: Artifact) -> dict[ProgramKind, Difference]:
    """How far the answer of each program is from the golden example."""
    golden = {name: torch.from_numpy(each.copy()) for name, each in artifact.golden().items()}
    spec = artifact.manifest.spec
    inputs, states, outputs, after = (
        {name.removeprefix(kind): each for name, each in golden.items() if name.startswith(kind)}
        for kind in ("input.", "state.", "output.", "state_out.")
    )
    found: dict[ProgramKind, Difference] = {}
    for kind, program in artifact.manifest.programs.items():
        tolerance = Tolerance(program.tolerance, program.tolerance)
        call = load_call(kind, artifact.read(program.file), spec, program.lengths)
        result = Stepper(spec, call, program.lengths).run(inputs, states)
        found[kind] = worst(
            [
                tolerance.compare(outputs, result.outputs),
                tolerance.compare(after, only(result.states, after)),
            ]
        )
    return found


def stand_ready() -> None:
    """Read a model's name and a folder from each line of standard input; answer each with a line,
    of a child that is made for it.
    """
    for line in sys.stdin:
        name, folder = line.rstrip("\n").split("\t")
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            os.write(writer, _judge(name, Path(folder)).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as told:
            said = " ".join(told.read().split())
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{said or f'it ended with {os.waitstatus_to_exitcode(status)}'}\n")
        sys.stdout.flush()


def _judge(name: str, folder: Path) -> str:
    torch.set_num_threads(1)
    try:
        artifact = Artifact.open(folder, name, 1)
        artifact.initial()  # the only file that the replay does not read
        with legacy_quiet():
            return "; ".join(replay(artifact)) or _SOUND
    except Exception as error:  # whatever a runtime says to a program that it does not know
        return str(error) or type(error).__name__
