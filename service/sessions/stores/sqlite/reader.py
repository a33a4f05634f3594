"""What the SQLite store's reading thread does: all that is asked for, in one view of the file."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import apsw

from carousel.service.errors import CarouselError
from carousel.service.sessions.stores.futures import tell
from carousel.service.sessions.stores.sqlite.rows import SessionRows
from carousel.service.sessions.stores.sqlite.writer import damaged, unavailable

log = logging.getLogger("carousel.store")


@dataclass(slots=True, eq=False)
class Question:
    """What is read: `run` on the reader's rows, and the future that is told."""

    run: Callable[[SessionRows], object]
    future: "asyncio.Future[Any]"


class Reader:
    """Owns the connection that reads. `handle` is a lane's."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._rows = SessionRows(connection)

    def __repr__(self) -> str:
        return f"<Reader {self._rows!r}>"

    def handle(self, questions: list[Question]) -> None:
        """Answer everything, each alone, with one wake-up of the event loop."""
        results = [self._answer(each) for each in questions]
        tell([each.future for each in questions], results)

    def close(self) -> None:
        """Close the connection; after the last `handle`."""
        self._rows.connection.close()

    def _answer(self, question: Question) -> object:
        try:
            return question.run(self._rows)
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
