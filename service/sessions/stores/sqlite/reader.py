"""What the SQLite store's reading thread does: all that is asked for, in one view of the file."""

import logging

import apsw

from carousel.service.errors import CarouselError
from carousel.service.sessions.stores.futures import tell
from carousel.service.sessions.stores.read_job import ReadJob
from carousel.service.sessions.stores.sqlite.rows import SessionRows
from carousel.service.sessions.stores.sqlite.writer import damaged, unavailable

log = logging.getLogger("carousel.store")


class SqliteReader:
    """Owns the connection that reads. `handle` is a BatchWorker's."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._rows = SessionRows(connection)

    def __repr__(self) -> str:
        return f"<SqliteReader {self._rows!r}>"

    def handle(self, jobs: list[ReadJob[SessionRows]]) -> None:
        """Answer everything, each alone, with one wake-up of the event loop."""
        results = [self._answer(each) for each in jobs]
        tell([each.future for each in jobs], results)

    def close(self) -> None:
        """Close the connection; after the last `handle`."""
        self._rows.connection.close()

    def _answer(self, job: ReadJob[SessionRows]) -> object:
        try:
            return job.run(self._rows)
        except CarouselError as error:
            return error
        except apsw.CorruptError as error:
            log.error("the session store's file is damaged: %s", error)
            return damaged()
        except apsw.Error as error:
            log.error("the session store failed to read: %s", error)
            return unavailable(error)
        except Exception as error:
            log.exception("the session store failed to read")
            return unavailable(error)
