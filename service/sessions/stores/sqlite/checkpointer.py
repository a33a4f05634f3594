"""Carries what was written from SQLite's log into its file, off the way of the commits.

The log can begin anew only when all of it was carried over and nobody writes meanwhile. So a
connection of its own carries most of it while commits go on; what is left then, a little, the
writer carries over between two commits. The writer sets the file's mark before and lifts it after.
"""

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path

import apsw

from carousel.service.sessions.stores.sqlite.log_bound import LogBound, bound_log
from carousel.service.sessions.stores.sqlite.mark import FileMark
from carousel.service.sessions.stores.sqlite.writer import SqliteWriter

log = logging.getLogger("carousel.store")

_MAX_TRIES = 3
_RETRY_S = 1.0
# How much of the log is written between two looks at the room there is.
_LOOKS = 4


class Checkpointer:
    """A thread with a connection of its own, woken when the writer's log has grown long, or when
    there was no room to write it.
    """

    def __init__(
        self, connection: apsw.Connection, writer: SqliteWriter, mark: FileMark, path: Path
    ) -> None:
        self._connection = connection
        self._writer = writer
        self._mark = mark
        self._path = path
        self._log_pages = 0
        self._bound = self._bound_log()
        self._begin_pages = self._bound.begin
        self._look_pages = 0
        self._under_way = False
        self._is_told = False
        # One connection at a time may checkpoint.
        self._carrying = threading.Lock()
        self._wake = threading.Event()
        self._carried = threading.Event()
        self._stopping = False
        self._limit_log()
        self._thread = threading.Thread(target=self._serve, name="store checkpoints", daemon=True)
        self._thread.start()
        writer.connection.set_wal_hook(self._committed)
        writer.relieve = self._begin

    def __repr__(self) -> str:
        return f"<Checkpointer log_pages={self._log_pages} {self._bound}>"

    def close(self) -> None:
        """End the thread, after what it is about."""
        self._stopping = True
        self._wake.set()
        self._carried.set()
        self._thread.join()
        self._connection.close()

    def _committed(self, connection: apsw.Connection, database: str, pages: int) -> int:
        """SQLite's hook after each commit: how long the log is now."""
        if pages < self._log_pages:
            self._begin_pages = self._bound.begin
            self._look_pages = 0
        self._log_pages = pages
        if pages >= self._look_pages:
            self._look()
        if self._writer.between is None:
            if pages >= self._begin_pages and not self._under_way:
                self._writer.between = self._begin
            elif pages >= self._bound.most:
                # The disk is slower than the steps: they wait for it now.
                self._writer.between = self._carry_rest
        return apsw.SQLITE_OK

    def _look(self) -> None:
        """What room is left: others may have taken it, or given it back."""
        # Inside of a commit nothing may go wrong: where the folder is gone, the bound stays.
        with suppress(OSError):
            self._bound = self._bound_log()
        self._begin_pages = min(self._begin_pages, self._bound.most)
        self._look_pages = self._log_pages + max(1, self._bound.begin // _LOOKS)

    def _bound_log(self) -> LogBound:
        bound = bound_log(self._measure_room())
        self._writer.room.is_scarce = bound.is_scarce
        return bound

    def _measure_room(self) -> int:
        found = os.statvfs(self._path.parent)
        free = found.f_bavail * found.f_frsize
        try:
            taken = os.stat(f"{self._path}-wal").st_size
        except FileNotFoundError:
            taken = 0
        return free + taken

    def _begin(self) -> None:
        """Between two commits, before anything is carried over."""
        if self._under_way:
            return
        self._under_way = True
        self._limit_log()
        self._mark.set()
        self._wake.set()

    def _limit_log(self) -> None:
        """SQLite keeps a log as long as it ever was, unless it is told to cut it when it begins
        anew: somebody may have read for so long that it could not, and now the file needs the room.
        """
        self._writer.connection.pragma("journal_size_limit", self._bound.most_bytes)

    def _serve(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._carry()
            except apsw.Error as error:
                self._failed(error)
                threading.Event().wait(_RETRY_S)
                self._under_way = False

    def _carry(self) -> None:
        for _ in range(_MAX_TRIES):
            _, done = self._carry_over(self._connection)
            if self._log_pages - done <= self._bound.rest:
                break
        # After the next commit; without one the log is not written, and may stay as it is. Until
        # then this thread keeps still: only one connection at a time may checkpoint.
        self._carried.clear()
        self._writer.between = self._end
        if not self._stopping:
            self._carried.wait()

    def _end(self) -> None:
        """Between two commits, with the thread at rest."""
        self._carry_rest()
        self._mark.lift()
        self._look()
        # Where somebody reads on, the log could not begin anew.
        self._begin_pages = min(self._log_pages + self._bound.begin, self._bound.most)
        self._under_way = False
        self._carried.set()

    def _carry_rest(self) -> None:
        try:
            self._carry_over(self._writer.connection)
        except apsw.BusyError:
            # Another program is at it.
            return
        except apsw.Error as error:
            self._failed(error)

    def _carry_over(self, connection: apsw.Connection) -> tuple[int, int]:
        """Carry over what can be without waiting for readers; pages in the log, and pages done."""
        with self._carrying:
            done = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        self._is_told = False
        return done

    def _failed(self, error: apsw.Error) -> None:
        """It is tried again and again, and told once."""
        if not self._is_told:
            self._is_told = True
            log.error("the log of %s could not be carried over: %s", self._path, error)
