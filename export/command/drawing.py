"""`carousel-export inspect --svg`: where the picture of a model goes."""

import argparse
import errno
import os
from pathlib import Path

from carousel.export.command.values import InvalidValue
from carousel.models.manifest import Manifest
from carousel.models.picture import state_graph


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flag that `inspect` has beside those of an export or an import."""
    parser.add_argument(
        "--svg",
        type=_place,
        metavar="FILE",
        help="draw what was found: inputs, outputs, states and the loop that a session keeps",
    )


def write(file: Path, manifest: Manifest) -> None:
    """Draw the model; raises InvalidValue where the file cannot be written."""
    try:
        file.write_text(state_graph(manifest), encoding="utf-8")
    except OSError as error:
        raise _refused(file, error.strerror) from None


def _place(text: str) -> Path:
    """A file that may be written, as far as can be told before a model has run for it."""
    file = Path(text)
    try:
        wrong = errno.EISDIR if file.is_dir() else None if file.parent.is_dir() else errno.ENOENT
    except OSError as error:
        wrong = error.errno
    if wrong is not None:
        raise _refused(file, os.strerror(wrong))
    return file


def _refused(file: Path, why: str | None) -> InvalidValue:
    return InvalidValue(f"--svg: {file} cannot be written ({why})")
