"""A file's mark: while a store has it, the file says by itself that it lacks what is in its log.

SQLite's own header is the same in a file that was closed and in one that was copied from under a
service. So the file says IN_USE, and the first thing in its log takes that back: whoever reads both
finds the format that it always was, and so does whoever has carried the log over, an older version
or any other program that knows SQLite. Who finds the mark has the file without its log.

A checkpoint would carry over what takes the mark back. So the log sets it again before each, and
takes it back after; whoever is killed between leaves a log, and a log that is there is not missing.
Where somebody reads through all of a checkpoint, no more is carried over than what they see, and
the file goes without the mark until the next one: a copy of it is then taken for whole.
"""

import logging
from pathlib import Path

import apsw

from carousel.service.sessions.stores.sqlite.file import FORMAT, IN_USE

log = logging.getLogger("carousel.store")


class FileMark:
    """The mark of one file, on the connection that writes to it; from that one's thread."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._is_told = False

    def __repr__(self) -> str:
        return f"<FileMark {self._path}>"

    def put(self) -> bool:
        """Put it into the file, whose log is empty; False if nothing can be written."""
        if not self.set():
            return False
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:
            self._warn(error)
        return self.lift()

    def set(self) -> bool:
        """Set it in the log, for the next checkpoint; False if that cannot be."""
        return self._write(IN_USE)

    def lift(self) -> bool:
        """Take it back in the log; False if that cannot be."""
        return self._write(FORMAT)

    def remove(self) -> None:
        """Take it back for good, on the last connection, before that is closed."""
        if not self.lift():
            # The log then stays where the file says it is.
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    def _write(self, number: int) -> bool:
        try:
            self._connection.pragma("user_version", number)
        except apsw.Error as error:
            # A full disk, say.
            self._warn(error)
            return False
        self._is_told = False
        return True

    def _warn(self, error: apsw.Error) -> None:
        # On a full disk it is tried again and again.
        if not self._is_told:
            self._is_told = True
            log.warning("the session file %s could not be marked: %s", self._path, error)
