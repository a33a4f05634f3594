"""A folder for work on a file: beside it, so that what is made there can take its place."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carousel.service.sessions.stores.sqlite.upkeep.trouble import Trouble


@contextmanager
def folder_beside(path: Path, work: str) -> Iterator[Path]:
    """One run's own, and gone with it. What a run that was killed left there goes first; raises
    Trouble where another one is at work.
    """
    folder = path.with_name(f".{path.name}.{work}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Trouble(f"{folder} cannot be made: {error.strerror}") from None
    try:
        _take(folder, lock)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _take(folder: Path, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The run before may have taken it away since it was opened here.
        if not os.path.samestat(os.fstat(lock), folder.lstat()):
            raise FileNotFoundError
        for each in folder.iterdir():
            each.unlink()
    except OSError as error:
        at_work = isinstance(error, BlockingIOError | FileNotFoundError)
        why = "another run is at work in it" if at_work else error.strerror
        raise Trouble(f"{folder} cannot be used: {why}") from None
