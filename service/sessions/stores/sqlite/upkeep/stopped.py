"""The session file of a stopped service: held against a start meanwhile, and known by its size."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from carousel.service.errors import SettingError
from carousel.service.sessions.stores.sqlite.file import SqliteFile
from carousel.service.sessions.stores.sqlite.salvage import Salvage
from carousel.service.sessions.stores.sqlite.upkeep.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the file and of the log beside it."""

    file: int
    log: int


class StoppedFile:
    """An open file that no service has; `sizes` are those before it was opened. `log_problem`: what
    is known to be lost of its log.
    """

    def __init__(self, file: SqliteFile, sizes: Sizes) -> None:
        self.path = file.path
        self.sizes = sizes
        self.log_problem = file.log_problem
        self._file = file
        self.rows = Salvage(file.connect())

    def __repr__(self) -> str:
        return f"<StoppedFile {self.path}>"

    def renew(self) -> apsw.Connection:
        """A connection on which nothing is under way, in the place of the one before."""
        self.rows.connection.close(force=True)
        self.rows = Salvage(self._file.connect())
        return self.rows.connection


@contextmanager
def open_file(path: Path) -> Iterator[StoppedFile]:
    """The file, this process's own until the end of the block; raises Trouble."""
    sizes = measure(path)
    try:
        owned = SqliteFile(path, "disk", create=False)
    except SettingError as error:
        raise Trouble(str(error).removeprefix(f"{error.setting}: ")) from None
    try:
        file = StoppedFile(owned, sizes)
        try:
            yield file
        finally:
            file.rows.connection.close(force=True)
    except apsw.Error as error:
        raise Trouble(f"{path} cannot be used: {error}") from None
    finally:
        owned.close()


def measure(path: Path) -> Sizes:
    """The sizes as they are now, 0 for what is not there."""
    return Sizes(*(_size(Path(f"{path}{end}")) for end in ("", "-wal")))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
