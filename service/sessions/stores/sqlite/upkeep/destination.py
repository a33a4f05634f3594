"""Where a copy of a session file goes: what would be harmed there, or would harm the copy."""

import fcntl
import os
import stat
from pathlib import Path

from carousel.service.sessions.stores.sqlite.names import BESIDE
from carousel.service.sessions.stores.sqlite.upkeep.trouble import Trouble

# Of these it takes for a part of the file whatever is there.
_PARTS = ("-wal", "-journal")


def check_destination(given: Path, source: Path, *, replace: bool) -> Path:
    """The path that the copy takes in the end: a link's target is written, and the link stays.
    Raises Trouble for what must not be written over.
    """
    path = Path(os.path.realpath(given))
    there = _look_at(given, path)
    if there is not None and os.path.samestat(there, source.stat()):
        raise Trouble(f"{given} is the session file itself")
    if path in [Path(f"{source}{end}") for end in BESIDE]:
        raise Trouble(f"{given} belongs to the session file {source}")
    if os.path.lexists(given) and not replace:
        raise Trouble(f"{given} exists; --replace puts the copy in its place")
    for part in (Path(f"{path}{end}") for end in _PARTS):
        if part.exists():
            raise Trouble(f"{part} would be taken for a part of the copy; move it away first")
    if is_owned(path):
        raise Trouble(f"{given} is the session file of a running service")
    return path


def is_owned(path: Path) -> bool:
    """Whether a process owns a session file; raises Trouble."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Trouble(f"{path}.lock cannot be read: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def _look_at(given: Path, path: Path) -> os.stat_result | None:
    try:
        there = path.stat()
    except FileNotFoundError:
        there = None
    except OSError as error:
        raise Trouble(f"{given} cannot be written: {error.strerror}") from None
    if there is not None and not stat.S_ISREG(there.st_mode):
        kind = "a folder" if stat.S_ISDIR(there.st_mode) else "no ordinary file"
        raise Trouble(f"{given} cannot be written: it is {kind}")
    if not path.parent.is_dir():
        raise Trouble(f"{given} cannot be written: there is no folder {path.parent}")
    return there
