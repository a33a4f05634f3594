"""The version numbers of a model that exports have given, so that none is given twice.

A session, a log and a cache know weights by that number. So it stays taken when its folder, or the
whole model, is removed. Where there is no such file yet, what is on disk is all that is known.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NUMBER = re.compile(rb"[1-9][0-9]{0,8}")


class VersionNumbers:
    """A file of one model that only grows, a number a line. Held by one export at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __repr__(self) -> str:
        return f"<VersionNumbers highest={self.highest()}>"

    @classmethod
    @contextmanager
    def locked(cls, folder: Path, model: str) -> Iterator["VersionNumbers"]:
        """The numbers of `model`, once no other export has them; raises OSError."""
        folder.mkdir(exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(folder / model, flags, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield cls(descriptor)
        finally:
            os.close(descriptor)

    def highest(self) -> int:
        """The highest number that was given; 0 where none was."""
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        return max((int(each) for each in data.split() if _NUMBER.fullmatch(each)), default=0)

    def add(self, version: int) -> None:
        """Note a number, down to the disk."""
        # The first line end is for what a power cut may have left in front.
        os.write(self._descriptor, f"\n{version}\n".encode())
        os.fsync(self._descriptor)
