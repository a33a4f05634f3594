"""A session file written anew, with what is sound in it and without free space."""

from collections.abc import Iterator
from itertools import islice

import apsw

from carousel.service.sessions.session_record import SessionRecord
from carousel.service.sessions.stores.base import Write
from carousel.service.sessions.stores.sqlite.file import SqliteFile
from carousel.service.sessions.stores.sqlite.salvage import Salvage
from carousel.service.sessions.stores.sqlite.upkeep.folder import folder_beside
from carousel.service.sessions.stores.sqlite.upkeep.size import require_room
from carousel.service.sessions.stores.sqlite.upkeep.stopped import StoppedFile
from carousel.service.sessions.stores.sqlite.upkeep.survey import Survey, survey
from carousel.service.sessions.stores.sqlite.upkeep.trouble import Trouble

_ROWS = 1000
_PAGES = 4096
# One copy beside the file, and one in the log on its way into the file.
_COPIES = 2


def rewrite(file: StoppedFile, found: Survey) -> None:
    """Put a copy of the sound sessions and the tombstones in the place of all the file holds.

    The copy is made in a folder beside the file and then goes into it page by page, as one
    transaction: a machine that stops meanwhile leaves the file as it was, and it stays the same
    file to those who own it.
    """
    require_room(file.path.parent, _COPIES * _used_bytes(file))
    with folder_beside(file.path, "rewrite") as folder:
        fresh = SqliteFile(folder / "copy.sqlite")
        try:
            copy = fresh.connect()
            try:
                _fill(Salvage(copy), file.rows, sound=not found.problems)
                _take_over(file.renew(), copy)
                file.log_problem = None
            finally:
                copy.close()
        finally:
            fresh.close()
    after = survey(file)
    if not after.is_sound or after.num_sessions != found.num_sessions:
        raise Trouble(f"{file.path} is still damaged; put a copy in its place, or move it away")


def _used_bytes(file: StoppedFile) -> int:
    """What the pages in use take."""
    connection = file.rows.connection
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (int(connection.pragma(name)) for name in names)
    return max(0, pages - free) * size


def _fill(copy: Salvage, source: Salvage, *, sound: bool) -> None:
    records = (each for each in source.sessions(sound=sound) if isinstance(each, SessionRecord))
    for batch in _batches(records):
        with copy.connection:
            copy.put_all([Write(None, each) for each in batch])
    with copy.connection:
        copy.entomb(source.tombstones())


def _batches(records: Iterator[SessionRecord]) -> Iterator[list[SessionRecord]]:
    while batch := list(islice(records, _ROWS)):
        yield batch


def _take_over(connection: apsw.Connection, copy: apsw.Connection) -> None:
    with connection.backup("main", copy, "main") as backup:
        while not backup.done:
            backup.step(_PAGES)
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
