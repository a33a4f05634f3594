"""Carries what was written from SQLite's log into its file, off the way of the commits.

The log can begin anew only when all of it was carried over and nobody writes meanwhile. So a
connection of its own carries most of it while commits go on; what is left then, a little, the
writer carries over between two commits. The writer sets the file's mark before and lifts it after.
"""

import logging
import threading

import apsw

from carousel.service.sessions.stores.sqlite.mark import FileMark
from carousel.service.sessions.stores.sqlite.writer import SqliteWriter

log = logging.getLogger("carousel.store")

# At 4 KiB a page: how far the log has grown when a checkpoint begins, what the writer may be kept
# with, and the size beyond which it must carry over all of it itself.
_BEGIN_PAGES = 8192
_REST_PAGES = 512
_MAX_PAGES = 65_536
_MAX_TRIES = 3
_RETRY_S = 1.0


class Checkpointer:
    """A thread with a connection of its own, woken when the writer's log has grown long."""

    def __init__(self, connection: apsw.Connection, writer: SqliteWriter, mark: FileMark) -> None:
        self._connection = connection
        self._writer = writer
        self._mark = mark
        self._log_pages = 0
        self._begin_pages = _BEGIN_PAGES
        self._under_way = False
        self._wake = threading.Event()
        self._carried = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._serve, name="store checkpoints", daemon=True)
        self._thread.start()
        writer.connection.set_wal_hook(self._committed)

    def __repr__(self) -> str:
        return f"<Checkpointer log_pages={self._log_pages}>"

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
            self._begin_pages = _BEGIN_PAGES
        self._log_pages = pages
        if self._writer.between is None:
            if pages >= self._begin_pages and not self._under_way:
                self._writer.between = self._begin
            elif pages >= _MAX_PAGES:
                # The disk is slower than the steps: they wait for it now.
                self._writer.between = self._carry_rest
        return apsw.SQLITE_OK

    def _begin(self) -> None:
        """Between two commits, before anything is carried over."""
        self._under_way = True
        self._mark.set()
        self._wake.set()

    def _serve(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            if self._stopping:
                return
            try:
                self._carry()
            except apsw.Error:
                log.exception("a checkpoint failed; the next commits ask for another")
                threading.Event().wait(_RETRY_S)
                self._under_way = False

    def _carry(self) -> None:
        for _ in range(_MAX_TRIES):
            _, done = _carry_over(self._connection)
            if self._log_pages - done <= _REST_PAGES:
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
        # Where somebody reads on, the log could not begin anew.
        self._begin_pages = min(self._log_pages + _BEGIN_PAGES, _MAX_PAGES)
        self._under_way = False
        self._carried.set()

    def _carry_rest(self) -> None:
        try:
            _carry_over(self._writer.connection)
        except apsw.BusyError:
            # The thread's own connection is at it.
            return
        except apsw.Error:
            log.exception("a checkpoint failed; the next commits ask for another")


def _carry_over(connection: apsw.Connection) -> tuple[int, int]:
    """Carry over what can be without waiting for anybody; pages in the log, and pages done."""
    return connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
