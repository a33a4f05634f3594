"""This process's hold on a session file: nobody else opens it meanwhile, by whatever name.

Two locks, both `flock`: one on a file beside it, which says whose it is, and one on the file
itself, for who comes by another name.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from carousel.service.errors import SettingError
from carousel.service.sessions.stores.sqlite.names import (
    Renamed,
    SeveralNames,
    find_renamed,
    lock_inode,
    require_one_name,
    unlock_inode,
)

SETTING = "CAROUSEL_STORE"


class Ownership:
    """Held from here to `release`. Raises SettingError where another process has the file, and
    OSError.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = Path(f"{path}.lock")
        self._made_lock = False
        self._number: int | None = None
        self._lock = self._lock_beside()

    def __repr__(self) -> str:
        return f"<Ownership {self._path}>"

    def take_file(self) -> None:
        """Hold the file itself. It is made here, so that nobody else may read the states in it."""
        self._number = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _require_one_name(self._path)
        if not lock_inode(self._number):
            raise SettingError(
                SETTING,
                f"another process owns the session file {self._path}, by another name of it (a "
                "mount, perhaps); stop it, or give each its own file",
            )

    def let_sqlite_in(self) -> None:
        """Where a file system makes one kind of lock of both (NFS), ours is in SQLite's way."""
        assert self._number is not None
        unlock_inode(self._number)

    def find_renamed(self) -> Renamed | None:
        """What has become of the file's name meanwhile, if anything."""
        return None if self._number is None else find_renamed(self._path, self._number)

    def release(self, *, as_it_was: bool = False) -> None:
        """Let another process have the file; after SQLite's connections were closed. `as_it_was`:
        leave nothing beside it that was not there.
        """
        if as_it_was and self._made_lock:
            self._lock_path.unlink(missing_ok=True)
        if self._number is not None:
            os.close(self._number)
        os.close(self._lock)

    def _lock_beside(self) -> int:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            _require_one_name(self._path)
        self._made_lock = not self._lock_path.exists()
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(self._lock_path, flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
            os.close(lock)
            raise SettingError(
                SETTING,
                f"another process (pid {owner}) owns the session file {self._path}; stop it, or "
                "give each its own file, or let several share a Redis: --store redis://HOST:6379",
            ) from None
        # For who is refused; a full disk takes it away, and nothing else.
        with suppress(OSError):
            said = f"{os.getpid()}\n".encode()
            os.ftruncate(lock, os.pwrite(lock, said, 0))
        return lock


def _require_one_name(path: Path) -> None:
    try:
        require_one_name(path)
    except SeveralNames as names:
        raise SettingError(SETTING, str(names)) from None
