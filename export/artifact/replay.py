"""The golden example in a fresh process: proof that the files alone are the model.

The process starts when the export starts, so that its imports cost no time, and gets the folder
on its standard input. It never sees the user's code, nor what operators and classes this process
has registered.
"""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

import carousel
from carousel.export.errors import ExportRefused
from carousel.export.legacy import legacy_quiet
from carousel.export.measured.stepper import Stepper
from carousel.export.measured.subject import only
from carousel.export.measured.tolerance import Tolerance
from carousel.export.programs.runtime import load_call
from carousel.models.artifact import Artifact

_ROOT = Path(carousel.__file__).parents[1]
_TIMEOUT_S = 300
_COMMAND = "import sys; from carousel.export.artifact.replay import main; sys.exit(main())"


class Replay:
    """A waiting process. Use as a context manager; `check` hands it an artifact, once."""

    def __init__(self) -> None:
        paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            process_group=0,  # Ctrl-C is for the export, which ends this process too
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def check(self, name: str, folder: Path) -> None:
        """Replay the golden example of the artifact in `folder`; raises ExportRefused unless every
        program holds.
        """
        said = self._ask(f"{name}\n{folder.resolve()}\n")
        if self._process.returncode != 0:
            last = (said.strip().splitlines() or [""])[-1]
            raise ExportRefused(
                f"in a fresh process the programs do not answer the same: {last}",
                "give a file that needs nothing but torch, or report this: with a module it is a "
                "fault of the exporter",
            )

    def _ask(self, question: str) -> str:
        try:
            said, _ = self._process.communicate(question, timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return f"no answer within {_TIMEOUT_S} s"
        return said


def replay(artifact: Artifact) -> list[str]:
    """What differs between the golden example and each program's answer; empty if nothing."""
    golden = {name: torch.from_numpy(each.copy()) for name, each in artifact.golden().items()}
    spec = artifact.manifest.spec
    inputs, states, outputs, after = (
        {name.removeprefix(kind): each for name, each in golden.items() if name.startswith(kind)}
        for kind in ("input.", "state.", "output.", "state_out.")
    )
    faults: list[str] = []
    for kind, program in artifact.manifest.programs.items():
        tolerance = Tolerance(program.tolerance, program.tolerance)
        call = load_call(kind, artifact.read(program.file), spec, program.lengths)
        found = Stepper(spec, call, program.lengths).run(inputs, states)
        for wanted, actual in ((outputs, found.outputs), (after, only(found.states, after))):
            far = tolerance.compare(wanted, actual)
            if not far.passes:
                faults.append(f"{kind}: error {far.error:.1e}, bound {far.bound:.1e}")
    return faults


def main() -> int:
    """Read a model's name and a folder from standard input; 0 if its programs hold."""
    torch.set_num_threads(1)
    name, folder = sys.stdin.readline().strip(), sys.stdin.readline().strip()
    artifact = Artifact.open(Path(folder), name, 1)
    artifact.verify()
    with legacy_quiet():
        faults = replay(artifact)
    sys.stdout.write("\n".join(faults))
    return 1 if faults else 0
