"""How long SQLite's log may grow before it is carried over, by how much room there is. Pure.

Carrying over needs room as well: pages that are new to the file make it longer, by as many as the
log has at most. So the log takes a quarter of the room there is, its own included, and where it has
grown to that, steps wait until it is carried over: then as much again is left for the file, and
half of all for what else happens there. Where there is plenty, time decides: a log that is carried
over too often costs steps their time, one that is too long costs the start its time.
"""

from dataclasses import dataclass

PAGE_BYTES = 4096
# A page in the log, with what is said of it.
FRAME_BYTES = PAGE_BYTES + 24

_BEGIN_PAGES = 8192
_MAX_PAGES = 65_536
_REST_PAGES = 512
# A log shorter than that is not worth the work, however little room there is.
_FEWEST_PAGES = 8


@dataclass(frozen=True, slots=True)
class LogBound:
    """In pages: how far the log has grown when a checkpoint begins, what the writer may be kept
    with then, and the size beyond which it waits.
    """

    begin: int
    rest: int
    most: int

    @property
    def is_scarce(self) -> bool:
        """Whether there is so little room that the log has to be shorter for it."""
        return self.most < _MAX_PAGES

    @property
    def most_bytes(self) -> int:
        """The size of the log that has all of them."""
        return self.most * FRAME_BYTES


def bound_log(room_bytes: int) -> LogBound:
    """The bound for a log that has so much room: what it takes already, and what is free."""
    pages = room_bytes // FRAME_BYTES
    most = min(_MAX_PAGES, max(2 * _FEWEST_PAGES, pages // 4))
    begin = min(_BEGIN_PAGES, most // 2)
    return LogBound(begin, min(_REST_PAGES, begin // 2), most)
