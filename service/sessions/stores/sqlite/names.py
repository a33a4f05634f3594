"""By how many names a session file and what belongs to it can be reached: one, or it is refused.

SQLite's log and the lock have the file's name with an ending. By another name the same file has
another log, so that what was answered last is in neither or in both, and another lock, so that two
processes own it. A link that only says where the file is, a symlink, leads to its one name; what
lies beside the file must not be one, since somebody else may lead there too.
"""

import fcntl
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

# What SQLite and the store have beside a file.
BESIDE = ("-wal", "-shm", "-journal", ".lock")
# Elsewhere (BSD, macOS) SQLite would be locked out by it.
_LOCKS_ARE_APART = sys.platform == "linux"


class SeveralNames(Exception):
    """It can be reached by another name; the text says what to do."""


def require_one_name(path: Path) -> None:
    """Raise SeveralNames for a file with hard links, and for links beside it."""
    there = path.stat()
    if stat.S_ISREG(there.st_mode):
        _require_one_link(path, there.st_nlink)
    for beside in (Path(f"{path}{end}") for end in BESIDE):
        try:
            there = beside.lstat()
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(there.st_mode):
            raise SeveralNames(
                f"{beside} is a link, and belongs to one session file alone: put what it leads to "
                "in its place"
            )
        if stat.S_ISREG(there.st_mode):
            _require_one_link(beside, there.st_nlink)


def lock_inode(number: int) -> bool:
    """Hold a file itself, by whatever name it was opened; False if somebody else does.

    This finds what has one name and is reached by two all the same: a file that is mounted at
    another place. (It is flock: SQLite's own locks are of another kind.)
    """
    if not _LOCKS_ARE_APART:
        return True
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without.
        return True
    return True


def unlock_inode(number: int) -> None:
    """Let it go."""
    if _LOCKS_ARE_APART:
        fcntl.flock(number, fcntl.LOCK_UN)


def is_locked_elsewhere(path: Path) -> bool:
    """Whether a process owns the file, by whatever name."""
    if not _LOCKS_ARE_APART:
        return False
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(number)
    return False


@dataclass(frozen=True, slots=True)
class Renamed:
    """What has become of the name of a file that is open, in words. `is_gone`: whoever opens the
    file by its name finds none, or another one.
    """

    text: str
    is_gone: bool


def find_renamed(path: Path, number: int) -> Renamed | None:
    """None if nothing has happened to the name."""
    opened = os.fstat(number)
    try:
        is_there = os.path.samestat(opened, path.stat())
    except OSError:
        is_there = False
    if not is_there:
        text = (
            "was moved, deleted or replaced while it is in use; what is answered now will not be "
            "found by the next start"
        )
        return Renamed(f"the session file {path} {text}", is_gone=True)
    if opened.st_nlink > 1:
        text = f"has {opened.st_nlink} names (hard links) now: the next start on it is refused"
        return Renamed(f"the session file {path} {text}", is_gone=False)
    return None


def _require_one_link(path: Path, count: int) -> None:
    if count > 1:
        raise SeveralNames(
            f"{path} has {count} names (hard links), and by another one another process can use "
            f"it, with another log beside it: find FOLDER -samefile {path} lists them. Keep the "
            "one that was used last, with what lies beside it, and remove the others; cp makes a "
            "file of its own"
        )
