"""What the SQLite store's writing thread does: one transaction for all that has come in."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import apsw

from carousel.service.errors import StateCorrupt, StoreUnavailable
from carousel.service.sessions.stores.base import Outcome, StoreStats, Write
from carousel.service.sessions.stores.sqlite.room import FileRoom
from carousel.service.sessions.stores.sqlite.rows import SessionRows

log = logging.getLogger("carousel.store")

# The disk or another program stands in the way; nothing is wrong with what is to be written.
_AWAY = (
    apsw.BusyError,
    apsw.LockedError,
    apsw.FullError,
    apsw.IOError,
    apsw.CantOpenError,
    apsw.ReadOnlyError,
    apsw.PermissionsError,
    apsw.NoMemError,
    MemoryError,
)


@dataclass(slots=True, eq=False)
class WriteJob:
    """Something to be written: `run` is called with the rows, and `settle` with what came of it,
    the result or an error.

    `writes`, where it only writes: they are tried one by one if they fail together.
    """

    run: Callable[[SessionRows], object]
    settle: Callable[[object], None]
    writes: Sequence[Write] = ()


class SqliteWriter:
    """Owns the connection that writes. `handle` is a BatchWorker's; the rest may be read
    anywhere.
    """

    def __init__(self, connection: apsw.Connection, stats: StoreStats) -> None:
        self.failing = False
        self.connection = connection
        self.room = FileRoom(connection)
        # Called between two transactions, once.
        self.between: Callable[[], None] | None = None
        # What makes room where there was none, between two transactions.
        self.relieve: Callable[[], None] | None = None
        self._stats = stats
        self._rows = SessionRows(connection)

    def __repr__(self) -> str:
        return f"<SqliteWriter failing={self.failing} {self._stats!r}>"

    def handle(self, jobs: list[WriteJob]) -> None:
        """One transaction; where SQLite finds damage, one for each row."""
        began = time.perf_counter()
        try:
            results = self._transact(jobs)
        except _AWAY as error:
            results = [self._failed(error)] * len(jobs)
        except Exception as error:
            # One row is at fault, and SQLite has many words for what it found there.
            log.error("a transaction of the session store failed, its rows go alone: %r", error)
            results = [self._alone(job) for job in jobs]
        rows = sum(len(job.writes) for job in jobs)
        self._stats.committed(rows, time.perf_counter() - began)
        for job, result in zip(jobs, results, strict=True):
            settle(job, result)
        between, self.between = self.between, None
        if between is not None:
            between()

    def close(self) -> None:
        """Close the connection; after the last `handle`."""
        self.connection.close()

    def _transact(self, jobs: list[WriteJob]) -> list[object]:
        connection = self.connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            results = [job.run(self._rows) for job in jobs]
            self.room.take()
            connection.execute("COMMIT")
            self._rows.keep_places()
        except BaseException:
            self._rows.renew()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        self.failing = False
        return results

    def _alone(self, job: WriteJob) -> object:
        """A job in a transaction of its own, and if need be each of its writes."""
        try:
            return self._transact([job])[0]
        except _AWAY as error:
            return self._failed(error)
        except Exception as error:
            if not job.writes:
                log.error("the session store cannot do what it was asked: %r", error)
                return damaged()
        outcomes: list[object] = []
        for write in job.writes:
            alone = WriteJob(partial(SessionRows.put, write=write), job.settle)
            try:
                outcomes += self._transact([alone])
            except _AWAY as error:
                return self._failed(error)
            except Exception as error:
                log.error("session %r is damaged: %r", write.record.meta.id, error)
                outcomes.append(Outcome.DAMAGED)
        return outcomes

    def _failed(self, error: Exception) -> StoreUnavailable:
        self._stats.failures += 1
        if not self.failing:
            log.error("the session store failed: %s", error)
        self.failing = True
        if self.between is None and isinstance(error, apsw.FullError | apsw.IOError):
            self.between = self.relieve
        return unavailable(error)


def settle(job: WriteJob, result: object) -> None:
    """Tell whoever asked, and let nothing that happens there reach the thread."""
    try:
        job.settle(result)
    except Exception:
        log.exception("an answer of the store could not be taken")


def damaged() -> StateCorrupt:
    """What clients are told where SQLite finds damage."""
    return StateCorrupt(
        "the store's file is damaged there",
        hint="with the service stopped, carousel-sessions check FILE says what is left, and with "
        "--remove-damaged makes the ids free again",
    )


def unavailable(error: Exception) -> StoreUnavailable:
    """What clients are told of an error of SQLite; the log has it whole."""
    full = isinstance(error, apsw.FullError)
    hint = "the disk that holds the sessions is full" if full else None
    return StoreUnavailable("the session store failed", hint=hint)
