"""The golden example in a fresh process, which knows nothing of what this one has loaded.

Operators and classes that this process registered make a TorchScript file run that no server runs.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

import carousel
from carousel.export.errors import ExportRefused
from carousel.export.importing.bounds import compare
from carousel.export.importing.loading import load_call
from carousel.export.importing.stepper import Stepper
from carousel.models.artifact import Artifact, write_artifact
from carousel.models.manifest import Manifest

_ROOT = Path(carousel.__file__).parents[1]
_TIMEOUT_S = 300
_COMMAND = "import sys; from carousel.export.importing.replay import main; sys.exit(main())"


def check_alone(manifest: Manifest, files: Mapping[str, bytes]) -> None:
    """Replay the artifact in a process of its own; raises ExportRefused unless it holds there."""
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory(prefix="carousel-import-") as folder:
        write_artifact(Path(folder), manifest, files)
        done = subprocess.run(
            [sys.executable, "-P", "-c", _COMMAND, manifest.name, folder],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    if done.returncode != 0:
        last = (done.stdout.strip().splitlines() or [""])[-1]
        raise ExportRefused(
            f"in a fresh process the program does not answer the same: {last}",
            "give a file that needs nothing but torch",
        )


def replay(artifact: Artifact) -> str | None:
    """What differs between the golden example and the programs' answers; None if nothing does."""
    golden = {name: torch.from_numpy(each.copy()) for name, each in artifact.golden().items()}
    spec = artifact.manifest.spec
    parts = [
        {name.removeprefix(f"{kind}."): each for name, each in golden.items() if _is(kind, name)}
        for kind in ("input", "state", "output", "state_out")
    ]
    for kind, program in artifact.manifest.programs.items():
        stepper = Stepper(spec, load_call(kind, artifact.read(program.file), spec))
        result = stepper.run(parts[0], parts[1])
        found = compare(spec, parts[2:], [result.outputs, result.states])
        if not found.passes:
            return f"{kind}: error {found.error:.1e}, bound {found.bound:.1e}"
    return None


def _is(kind: str, name: str) -> bool:
    return name.startswith(f"{kind}.")


def main() -> int:
    """Replay the model and folder named on the command line; 0 if its programs hold."""
    torch.set_num_threads(1)
    name, folder = sys.argv[1:3]
    artifact = Artifact.open(Path(folder), name, 1)
    artifact.verify()
    fault = replay(artifact)
    sys.stdout.write(fault or "")
    return 0 if fault is None else 1
