"""A session file written anew, with what is sound in it and without free space."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import apsw

from carousel.service.admin.failure import Failure
from carousel.service.admin.sessionfile import SessionFile
from carousel.service.admin.survey import Survey, survey
from carousel.service.admin.table import shown_bytes
from carousel.service.sessions.session_record import SessionRecord
from carousel.service.sessions.stores.base import Write
from carousel.service.sessions.stores.sqlite.file import SqliteFile
from carousel.service.sessions.stores.sqlite.salvage import Salvage

_ROWS = 1000
_PAGES = 4096
# One copy beside the file, and one in the log on its way into the file.
_COPIES = 2


def rewrite(file: SessionFile, found: Survey) -> None:
    """Put a copy of the sound sessions and the tombstones in the place of all the file holds.

    The copy is made in a folder beside the file and then goes into it page by page, as one
    transaction: a machine that stops meanwhile leaves the file as it was, and it stays the same
    file to those who own it.
    """
    require_room(file.path.parent, _COPIES * _used_bytes(file))
    with _folder_beside(file.path) as folder:
        fresh = SqliteFile(folder / "copy.sqlite")
        try:
            copy = fresh.connect()
            try:
                _fill(Salvage(copy), file.rows, sound=not found.problems)
                _take_over(file.renew(), copy)
            finally:
                copy.close()
        finally:
            fresh.close()
    after = survey(file)
    if not after.is_sound or after.num_sessions != found.num_sessions:
        raise Failure(f"{file.path} is still damaged; put a copy in its place, or move it away")


def require_room(folder: Path, num_bytes: int) -> None:
    """Raise Failure unless a folder's disk has so much free space."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise Failure(
            f"up to {shown_bytes(num_bytes)} of free disk space are needed in {folder}, and there "
            f"are {shown_bytes(free)}"
        )


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A folder for the copy, gone afterwards. What a run that was killed left there goes first:
    nobody else works in it, for the file's owner is one.
    """
    folder = path.with_name(f".{path.name}.rewrite")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise Failure(f"{folder} cannot be made: {error.strerror}") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _used_bytes(file: SessionFile) -> int:
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
