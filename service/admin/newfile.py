"""A file that is there whole or not at all."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from carousel.service.admin.failure import Failure


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file under another name in the same folder, which takes `path` at the end of the block,
    or vanishes if the block fails. Raises Failure.
    """
    # A rename over a link would leave the file it leads to as it was.
    target = Path(os.path.realpath(path))
    _check_target(path, target)
    part = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        file = open(part, "x+b", opener=_open_private)  # noqa: SIM115, closed below
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from None
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise Failure(f"{path} cannot be written: {error.strerror}") from None
        raise


def _check_target(path: Path, target: Path) -> None:
    """A rename replaces whatever there is: of devices and pipes nothing would be left."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no ordinary file"
        raise Failure(f"{path} cannot be written: it is {kind}")


def _open_private(path: str, flags: int) -> int:
    """For the owner alone, as the store's own file is."""
    return os.open(path, flags, 0o600)
