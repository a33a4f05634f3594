"""What of SQLite's log was written and cannot be read: SQLite passes over it without a word.

It reads the log up to the last commit before the first frame that is not whole. After a kill that
is right: what follows was never answered. It is not where a byte was flipped or the end cut off.
Then more is known of: the index beside the log, which a killed process leaves, counts more frames,
or frames of the same generation stand behind that close a transaction. Frames of older generations,
behind the newest, have other salts and tell nothing. How far it reads, SQLite says itself.
Formats: https://www.sqlite.org/fileformat2.html#walformat and /walformat.html.
"""

from dataclasses import dataclass
from pathlib import Path
from struct import Struct, iter_unpack
from typing import BinaryIO

# Magic, format, page size, checkpoints, salts, checksum of all that; then the frames.
_LOG = Struct(">IIII8sII")
_MAGIC = 0x377F0682
# Page, pages of the file if it closes a transaction, salts, checksum; then the page itself. The
# checksum goes on from the frame before, over the first eight bytes and the page.
_FRAME = Struct(">II8sII")
_SUMMED = 8
# Version, unused, changes, is it in use, byte order, page size, frames that count, pages, checksum
# of the last frame, salts, checksum of all that. It is there twice.
_INDEX = Struct("=IIIBBHII8s8sII")
_INDEX_SUMMED = 40
_VERSION = 3_007_000
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Sum:
    """SQLite's checksum, as far as it has come."""

    first: int = 0
    second: int = 0

    def over(self, data: bytes, order: str) -> "Sum":
        """The same after more bytes, whole pairs of words."""
        first, second = self.first, self.second
        for one, other in iter_unpack(f"{order}II", data):
            first = first + one + second & _MASK
            second = second + other + first & _MASK
        return Sum(first, second)


@dataclass(frozen=True, slots=True)
class Index:
    """As much as is used of what the index says of the log; without frames if it cannot be told."""

    salts: bytes = b""
    num_frames: int = 0
    page_size: int = 0

    @property
    def log_bytes(self) -> int:
        """How long the log is, if it has a frame."""
        frame_bytes = _FRAME.size + self.page_size
        return _LOG.size + self.num_frames * frame_bytes if self.num_frames else 0


@dataclass(frozen=True, slots=True)
class LogExtent:
    """Bytes of the log up to the last commit that SQLite reads, and up to the last that was
    written, as far as can be known.
    """

    read_bytes: int
    written_bytes: int

    @property
    def lost_bytes(self) -> int:
        """What was written and cannot be read."""
        return max(0, self.written_bytes - self.read_bytes)


def read_index(path: Path) -> Index:
    """What the index says that whoever had the file left; before SQLite makes another.

    (SQLite holds locks on it that would go if this process closed it later.)
    """
    try:
        with path.open("rb") as file:
            data, again = file.read(_INDEX.size), file.read(_INDEX.size)
    except OSError:
        return Index()
    if len(data) < _INDEX.size or data != again:
        return Index()
    version, _, _, in_use, _, page_size, num_frames, _, _, salts, *stored = _INDEX.unpack(data)
    if version != _VERSION or not in_use or Sum().over(data[:_INDEX_SUMMED], "=") != Sum(*stored):
        return Index()
    return Index(salts, num_frames, 65_536 if page_size == 1 else page_size)


def look_through(log: Path, index: Index, num_read: int) -> LogExtent:
    """How much of a log there was, by what its index said and what is in it. `num_read`: frames
    that SQLite reads of it.
    """
    try:
        with log.open("rb") as file:
            return _look_through(file, log.stat().st_size, index, num_read)
    except FileNotFoundError:
        return LogExtent(0, 0)


def _look_through(file: BinaryIO, size: int, index: Index, num_read: int) -> LogExtent:
    head = file.read(_LOG.size)
    if len(head) < _LOG.size:
        return LogExtent(0, index.log_bytes)
    magic, version, page_size, _, salts, *stored = _LOG.unpack(head)
    order = ">" if magic & 1 else "<"
    start = Sum().over(head[: _LOG.size - _SUMMED], order)
    if magic & ~1 != _MAGIC or version != _VERSION or start != Sum(*stored):
        return LogExtent(0, max(size, index.log_bytes))
    frames = _Frames(file, _FRAME.size + page_size, salts, order, start)
    known = max(num_read, index.num_frames if index.salts == salts else 0)
    there = (size - _LOG.size) // frames.frame_bytes
    num_written = next((n for n in range(there, known, -1) if frames.closes(n)), known)
    read, written = (_LOG.size + frames.frame_bytes * each for each in (num_read, num_written))
    return LogExtent(read, written)


@dataclass(frozen=True, slots=True)
class _Frames:
    """The frames of a log, counted from 1; `start` is the checksum that the first goes on from."""

    file: BinaryIO
    frame_bytes: int
    salts: bytes
    order: str
    start: Sum

    def closes(self, number: int) -> bool:
        """Whether a frame is of this generation, ends a transaction, and is whole, whatever the
        frames before it are: behind a broken one, those that were written later still sum up.
        """
        page, pages, salts, *stored = self._head(number)
        if salts != self.salts or page == 0 or pages == 0:
            return False
        before = self.start if number == 1 else Sum(*self._head(number - 1)[3:])
        self.file.seek(self._place(number))
        frame = self.file.read(self.frame_bytes)
        return before.over(frame[:_SUMMED] + frame[_FRAME.size :], self.order) == Sum(*stored)

    def _head(self, number: int) -> tuple[int, int, bytes, int, int]:
        self.file.seek(self._place(number))
        page, pages, salts, first, second = _FRAME.unpack(self.file.read(_FRAME.size))
        return page, pages, salts, first, second

    def _place(self, number: int) -> int:
        return _LOG.size + (number - 1) * self.frame_bytes
