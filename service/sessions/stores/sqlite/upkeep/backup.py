"""A copy of a session file, whether a service has it open or not, and of all that was answered.

The file of a running service is read through SQLite, whose log is a part of it: in one transaction,
which sees one moment and stops no commit. A stopped one is copied byte by byte, log and all, and
the copy is what SQLite opens. So neither way writes to the file or its log, and what a killed
service left stays as it is for its next start.
"""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from carousel.service.sessions.stores.sqlite.file import FORMAT, IN_USE
from carousel.service.sessions.stores.sqlite.names import (
    SeveralNames,
    is_locked_elsewhere,
    require_one_name,
)
from carousel.service.sessions.stores.sqlite.upkeep.destination import check_destination, is_owned
from carousel.service.sessions.stores.sqlite.upkeep.folder import folder_beside
from carousel.service.sessions.stores.sqlite.upkeep.size import require_room
from carousel.service.sessions.stores.sqlite.upkeep.stopped import measure, open_file
from carousel.service.sessions.stores.sqlite.upkeep.survey import survey
from carousel.service.sessions.stores.sqlite.upkeep.trouble import Trouble

# Read at once, at 4 KiB a page; between two of these a signal can end the copy.
_PAGES = 256
_CHUNK_BYTES = 1 << 20
_BUSY_MS = 5000
_TRIES = 5
# The file, its log, and the index of that, which knows how long the log was.
_PARTS = ("", "-wal", "-shm")


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What is in a copy."""

    num_sessions: int
    num_bytes: int


def back_up(source: Path, given: Path, *, replace: bool = False, nice: int = 0) -> BackedUp:
    """Put a copy of `source` at `given`, checked, and there whole or not at all; raises Trouble.

    `nice`: how far this process stands back once it has the copy, which is soon, for all the rest.
    """
    _check_source(source)
    path = source.resolve()
    try:
        target = check_destination(given, path, replace=replace)
        _check_names(path)
        with folder_beside(target, "backup") as folder:
            copy = folder / "copy.sqlite"
            _copy(path, copy)
            os.nice(nice)
            made = BackedUp(_check(path, copy), copy.stat().st_size)
            _sync(copy)
            copy.replace(target)
            _sync(target.parent)
    except (apsw.Error, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise Trouble(f"{source} cannot be copied to {given}: {why}") from None
    return made


def _check_source(source: Path) -> None:
    try:
        mode = source.stat().st_mode
        # To open a pipe would wait for whoever writes into it.
        if stat.S_ISREG(mode):
            source.open("rb").close()
    except FileNotFoundError:
        raise Trouble(f"there is no file {source}") from None
    except OSError as error:
        raise Trouble(f"{source} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode):
        raise Trouble(f"{source} cannot be read: it is no ordinary file")


def _check_names(path: Path) -> None:
    """By another name the file has another log, which would be missing."""
    try:
        require_one_name(path)
    except SeveralNames as names:
        raise Trouble(str(names)) from None
    # Asked again: whoever starts takes the one lock soon after the other.
    if not is_owned(path) and is_locked_elsewhere(path) and not is_owned(path):
        raise Trouble(f"{path} is in use by another name of it; copy it by that name")


def _copy(path: Path, copy: Path) -> None:
    for _ in range(_TRIES):
        for end in _PARTS:
            Path(f"{copy}{end}").unlink(missing_ok=True)
        before = _traces(path)
        if is_owned(path):
            _copy_running(path, copy)
            return
        if _copy_stopped(path, copy) and _traces(path) == before:
            return
    raise Trouble(f"{path} is opened and closed all the while; try again")


def _traces(path: Path) -> list[tuple[int, int, int] | None]:
    """What changes when somebody opens a file or writes to it: its owner writes into the lock."""
    found: list[tuple[int, int, int] | None] = []
    for end in ("", "-wal", ".lock"):
        try:
            there = os.stat(f"{path}{end}")
        except FileNotFoundError:
            found.append(None)
        else:
            found.append((there.st_ino, there.st_size, there.st_mtime_ns))
    return found


def _copy_running(path: Path, copy: Path) -> None:
    with open(copy, "wb", opener=_open_private):
        pass
    source = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    made = apsw.Connection(str(copy))
    try:
        source.set_busy_timeout(_BUSY_MS)
        # The moment that is copied: read on through other transactions, or the copy would begin
        # anew after each of them.
        source.execute("BEGIN; SELECT count(*) FROM sqlite_schema").fetchall()
        require_room(
            copy.parent, int(source.pragma("page_count")) * int(source.pragma("page_size"))
        )
        made.pragma("journal_mode", "off")
        made.pragma("synchronous", "off")
        with made.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(_PAGES)
        # Nothing of it is in a log any more.
        if made.pragma("user_version") == IN_USE:
            made.pragma("user_version", FORMAT)
    finally:
        made.close()
        source.close(force=True)


def _copy_stopped(path: Path, copy: Path) -> bool:
    """Copy the file and what is beside it; False if something was gone before it could be read."""
    sizes = measure(path)
    # The log is there once more when it goes into the file.
    require_room(copy.parent, sizes.file + 2 * sizes.log)
    for end in _PARTS:
        try:
            with (
                open(f"{path}{end}", "rb") as source,
                open(f"{copy}{end}", "wb", opener=_open_private) as made,
            ):
                while data := source.read(_CHUNK_BYTES):
                    made.write(data)
        except FileNotFoundError:
            if not end:
                return False
    return True


def _open_private(path: str, flags: int) -> int:
    """For the owner alone, as the store's own file is."""
    return os.open(path, flags, 0o600)


def _check(path: Path, copy: Path) -> int:
    """How many sessions the copy has; raises Trouble if it is damaged, which its source then is."""
    sizes = measure(copy)
    if sizes.file + sizes.log == 0:
        raise Trouble(f"{path} is empty")
    try:
        with _quiet(), open_file(copy) as file:
            found = survey(file)
    except Trouble as trouble:
        raise Trouble(str(trouble).replace(str(copy), str(path))) from None
    if not found.is_sound:
        raise Trouble(f"{path} is damaged, and was not copied: {found.summary}")
    return found.num_sessions


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the store's own warnings, which would name the copy."""
    log = logging.getLogger("carousel.store")
    log.disabled = True
    try:
        yield
    finally:
        log.disabled = False


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)
