"""Room in the file for what its log holds, taken before a commit where there is little.

What is written stands in the log until it is carried over, and only then does the file grow. If the
log took the last of the room meanwhile, it could not be carried over, nothing could be written
before it was, and nothing deleted: the store would stand still until somebody else gave room back.
So where room is scarce the file has its new length before the log says so; if that cannot be, the
transaction is what fails. A file longer than its pages is nothing to SQLite, which cuts it when all
of the log is carried over.
"""

import ctypes

import apsw

from carousel.service.sessions.stores.sqlite.log_bound import PAGE_BYTES


class FileRoom:
    """Of the file that a connection writes to; in that one's thread. `is_scarce` may be set
    anywhere.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self.is_scarce = False

    def __repr__(self) -> str:
        return f"<FileRoom is_scarce={self.is_scarce}>"

    def take(self) -> None:
        """In a transaction, before its commit: make the file as long as its pages will be.

        Raises apsw.FullError where there is no room for that.
        """
        if not self.is_scarce:
            return
        pages = int(self._connection.pragma("page_count"))
        # SQLite takes the hint only where it grows the file by whole chunks.
        chunk, size = ctypes.c_int(PAGE_BYTES), ctypes.c_int64(pages * PAGE_BYTES)
        control = self._connection.file_control
        try:
            control("main", apsw.SQLITE_FCNTL_CHUNK_SIZE, ctypes.addressof(chunk))
            control("main", apsw.SQLITE_FCNTL_SIZE_HINT, ctypes.addressof(size))
        except apsw.IOError as error:
            raise apsw.FullError("database or disk is full") from error
