"""The SQLite file of a store: owned by one process, known by its application id and format."""

import logging
import os
from pathlib import Path
from typing import Literal

import apsw

from carousel.service.errors import SettingError
from carousel.service.sessions.stores.sqlite.log import Index, look_through, read_index
from carousel.service.sessions.stores.sqlite.names import Renamed
from carousel.service.sessions.stores.sqlite.ownership import SETTING, Ownership

log = logging.getLogger("carousel.store")

Durability = Literal["process", "disk"]

# "CRSL", so that `file` and others can tell whose this is.
APPLICATION_ID = 0x4352534C
FORMAT = 1
# In the place of the format in a file that a store has open (mark.py); older versions take it for
# the format that it is.
IN_USE = -FORMAT
_BUSY_MS = 5000
_CACHE_KB = 2048
_HEADER_BYTES = 100
# Of the index beside the log, the first thing that is made there.
_NO_ROOM_FOR_INDEX = apsw.SQLITE_IOERR_SHMSIZE
# A file that was cut to less than this part of itself has next to nothing left to serve.
_MAX_GROWTH = 64

# `due` is a lower bound of the time a session expires: a step moves the end on and leaves `due`
# alone, so that it touches no index; whoever sweeps looks at what is due and moves it on.
_SCHEMA = """
CREATE TABLE session (
    id INTEGER PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    model TEXT NOT NULL,
    due REAL NOT NULL,
    revision BLOB NOT NULL,
    head BLOB NOT NULL,
    state BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX session_by_name ON session (tenant, name);
CREATE INDEX session_by_model ON session (tenant, model, name);
CREATE INDEX session_by_due ON session (due);
CREATE TABLE tombstone (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    expired_at REAL NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX tombstone_by_time ON tombstone (expired_at);
"""


class NotOurs(SettingError):
    """The file is somebody else's, and stays as it is."""


class SqliteFile:
    """A file that this process owns from here to `close`. Raises SettingError, saying what to do.

    Not by SQLite's exclusive mode, which would lock out this process's own second connection.
    """

    def __init__(self, path: Path, durability: Durability = "process", *, create: bool = True):
        # Resolved, so that a link to the file has the file's lock; and absolute, for SQLite takes
        # some relative names (":memory:") for something else.
        self.path = path.resolve()
        self._durability = durability
        if not create and not self.path.is_file():
            raise SettingError(SETTING, f"there is no file {path}")
        # What is known to be lost of its log, in words for who looks after it.
        self.log_problem: str | None = None
        try:
            self._ownership = Ownership(self.path)
        except OSError as error:
            raise SettingError(SETTING, self._unwritable(error)) from None
        try:
            self._prepare()
        except BaseException as error:
            self._ownership.release(as_it_was=isinstance(error, NotOurs))
            raise

    def __repr__(self) -> str:
        return f"<SqliteFile {self.path} {self._durability}>"

    def connect(self, cache_kb: int = _CACHE_KB) -> apsw.Connection:
        """A connection, for one thread at a time. None of them checkpoints by itself."""
        connection = apsw.Connection(str(self.path))
        connection.set_busy_timeout(_BUSY_MS)
        connection.pragma("wal_autocheckpoint", 0)
        connection.pragma("cache_size", -cache_kb)
        connection.pragma("synchronous", "FULL" if self._durability == "disk" else "NORMAL")
        return connection

    def close(self) -> None:
        """Let another process have the file; after its connections were closed."""
        self._ownership.release()

    def find_renamed(self) -> Renamed | None:
        """What has become of the file's name while it is open, if anything."""
        return self._ownership.find_renamed()

    @property
    def _log_path(self) -> Path:
        return Path(f"{self.path}-wal")

    def _unwritable(self, error: OSError) -> str:
        return f"the session file {self.path} cannot be written: {error.strerror}"

    def _prepare(self) -> None:
        kind: type[SettingError] = SettingError
        try:
            self._ownership.take_file()
            self._check_size()
            # Before SQLite takes the log over, and begins another index.
            index = read_index(Path(f"{self.path}-shm"))
            has_log = self._log_path.exists() and self._log_path.stat().st_size > 0
            try:
                self._check_alone(index, has_log=has_log)
            except apsw.CorruptError:
                if not self._fill_up():
                    raise
                # Whatever was in the log is in the file by now.
                self._check(Index(), has_log=has_log)
        except OSError as error:
            problem = self._unwritable(error)
        except apsw.NotADBError:
            kind = NotOurs
            problem = f"{self.path} is not an SQLite file; name another, or move it away"
        except apsw.CorruptError:
            problem = (
                f"{self.path} is damaged where SQLite keeps its tables; put a copy in its place, "
                "or move it away: sessions then begin anew"
            )
        except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError):
            problem = f"the session file {self.path} and its folder must be writable"
        except apsw.Error as error:
            problem = f"the session file {self.path} cannot be used: {error}"
            code = getattr(error, "extendedresult", 0)
            if isinstance(error, apsw.FullError) or code == _NO_ROOM_FOR_INDEX:
                problem = (
                    f"the disk that holds the session file {self.path} is full: make room for a "
                    "few megabytes, and start again"
                )
        else:
            return
        raise kind(SETTING, problem)

    def _check_size(self) -> None:
        """SQLite takes a file without a header for a new one, and forgets the log beside it."""
        size = self.path.stat().st_size
        beside = self._log_path
        if 0 < size < _HEADER_BYTES:
            raise apsw.NotADBError
        if size == 0 and beside.exists() and beside.stat().st_size > 0:
            raise SettingError(
                SETTING,
                f"{self.path} is empty, and {beside} beside it is not: sessions were in both. Put "
                "a copy of the file in its place, or move the log away: sessions then begin anew",
            )

    def _check_alone(self, index: Index, *, has_log: bool) -> None:
        try:
            self._check(index, has_log=has_log)
        except apsw.BusyError:
            self._ownership.let_sqlite_in()
            self._check(index, has_log=has_log)

    def _check(self, index: Index, *, has_log: bool) -> None:
        connection = self.connect()
        try:
            found = int(connection.pragma("application_id"))
            version = int(connection.pragma("user_version"))
            tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
            if found != APPLICATION_ID and (found or version or tables):
                raise NotOurs(
                    SETTING, f"{self.path} belongs to another application; name another file"
                )
            if abs(version) > FORMAT:
                raise SettingError(
                    SETTING,
                    f"{self.path} has format {abs(version)}, of a newer Carousel; this one knows "
                    f"{FORMAT}: install the newer one, or name another file",
                )
            if connection.pragma("journal_mode", "wal") != "wal":
                raise apsw.ReadOnlyError
            was_in_use = version == IN_USE
            self._look_at_log(connection, index, is_gone=was_in_use and not has_log)
            if not tables:
                with connection:
                    connection.execute(_SCHEMA)
                    connection.pragma("application_id", APPLICATION_ID)
                    connection.pragma("user_version", FORMAT)
            # A file that cannot be written is found now; one that is only looked at stays as it is,
            # unless its log goes into it.
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.pragma("user_version", FORMAT)
            finally:
                connection.execute("COMMIT" if was_in_use and has_log else "ROLLBACK")
            texts = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL")
            if {text for (text,) in texts} != _statements(_SCHEMA):
                raise apsw.CorruptError
        finally:
            connection.close()

    def _look_at_log(self, connection: apsw.Connection, index: Index, *, is_gone: bool) -> None:
        """Find out what is missing of the log, and tell of it."""
        try:
            num_read, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error:
            # The disk is full, or another program is at it: that takes nothing away.
            return
        lost = look_through(self._log_path, index, num_read).lost_bytes
        if lost:
            self.log_problem = f"cut short or damaged: its last {lost} bytes cannot be read"
        elif is_gone:
            self.log_problem = "missing, and the file was in use: by itself it is no whole copy"
        else:
            return
        log.warning(
            "the log beside the session file %s is %s; sessions that were written last may be "
            "older than what clients were answered, or gone",
            self.path,
            self.log_problem,
        )

    def _fill_up(self) -> bool:
        """Give a file that was cut short its length again; False if it has it.

        SQLite reads nothing of a file that is shorter than it says. Filled with zeros, it serves
        the sessions whose pages are there, and those that were cut off are found damaged. Where the
        length it says is out of all proportion, it is the length that is damaged.
        """
        with self.path.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        page = int.from_bytes(header[16:18], "big") or 1
        expected = int.from_bytes(header[28:32], "big") * (page if page > 1 else 65536)
        size = self.path.stat().st_size
        is_ours = header[68:72] == APPLICATION_ID.to_bytes(4, "big")
        if not is_ours or not size < expected <= _MAX_GROWTH * size:
            return False
        log.error(
            "the session file %s was cut short: %d bytes of %d are missing; the sessions that "
            "were there answer state_corrupt",
            self.path,
            expected - size,
            expected,
        )
        os.truncate(self.path, expected)
        return True


def _statements(schema: str) -> set[str]:
    return {each.strip() for each in schema.split(";") if each.strip()}
