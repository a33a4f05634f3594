"""`carousel-export check`: an artifact proved again on this machine."""

import argparse
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import onnxruntime
import torch

from carousel.export.artifact.replay import beside_golden
from carousel.export.command.values import InvalidValue
from carousel.export.errors import ExportRefused, first_line
from carousel.export.legacy import legacy_quiet
from carousel.export.threads import threads_for
from carousel.models.artifact import Artifact, ArtifactError

_EXAMPLES = """\
examples:
  carousel-export check model-repository/my-lstm/1

Another processor, another ONNX Runtime or torch may round otherwise, or have no such operator. Each
program is run on the golden example, whose answers are the original's.
"""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of `check`."""
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="a version of a model, such as DIR/my-lstm/1"
    )
    parser.epilog = _EXAMPLES


def run(options: argparse.Namespace) -> None:
    """Check what the flags name; raises ExportRefused where it does not hold here."""
    folder: Path = options.folder.absolute()
    if not folder.name.isdecimal() or not folder.is_dir():
        raise InvalidValue(f"{options.folder} is no version of a model, such as DIR/my-lstm/1")
    try:
        artifact = Artifact.open(folder, folder.parent.name, int(folder.name))
        artifact.verify()
        for line in _proved(artifact):
            sys.stdout.write(f"{line}\n")
    except ArtifactError as error:
        way_out = "export it again, or copy it again from where it was"
        raise ExportRefused(str(error), way_out) from None


def _proved(artifact: Artifact) -> Iterator[str]:
    """What holds, a line each; raises ExportRefused."""
    label = f"{artifact.name} version {artifact.version}"
    yield f"{label}: every file is the one that was exported"
    here = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }
    for tool, version in here.items():
        made = artifact.manifest.tools.get(tool, "unknown")
        yield f"  {tool:<12} {version} here, {made} where it was exported"
    try:
        with legacy_quiet(), threads_for(0):
            found = beside_golden(artifact)
    except Exception as error:  # whatever a runtime says to a program that it does not know
        raise ExportRefused(
            f"{label} does not run here: {first_line(error)}", "export it again on this machine"
        ) from error
    for kind, far in found.items():
        yield f"  {kind:<12} error {far.error:.1e} of {far.bound:.1e} allowed"
    if not all(far.passes for far in found.values()):
        raise ExportRefused(
            f"{label} does not answer here as the original did", "export it again on this machine"
        )
