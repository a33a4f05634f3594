"""Looks through SQLite's log, before SQLite does: how much was written there, and how much is read.

SQLite reads the log up to the last commit before the first frame that is not whole, and passes over
the rest without a word. After a kill that is right: what follows was never answered. It is not
where a byte was flipped or the end cut off. Then more is known of: frames of the same generation
that close a transaction, or the index beside the log, which a killed process leaves and which
counts more frames. Frames of older generations, behind the newest, have other salts and tell
nothing. Formats: https://www.sqlite.org/fileformat2.html#walformat and /walformat.html.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from struct import Struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

# Magic, format, page size, checkpoints, salts, checksum of all that; then the frames.
_LOG = Struct(">IIII8sII")
_MAGIC = 0x377F0682
# Page, pages of the file if it closes a transaction, salts, checksum; then the page itself.
_FRAME = Struct(">II8sII")
_SUMMED = 8
# Version, unused, changes, is it in use, byte order, page size, frames that count, pages, checksum
# of the last frame, salts, checksum of all that. It is there twice.
_INDEX = Struct("=IIIBBHII8s8sII")
_INDEX_SUMMED = 40
_VERSION = 3_007_000
_AT_ONCE = 512
_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Sum:
    """SQLite's checksum, as far as it has come."""

    first: int
    second: int

    def __add__(self, other: "Sum") -> "Sum":
        return Sum((self.first + other.first) & _MASK, (self.second + other.second) & _MASK)

    def __mul__(self, factor: int) -> "Sum":
        return Sum(self.first * factor & _MASK, self.second * factor & _MASK)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's head, and what its page adds to the checksum."""

    page: int
    closes: bool
    salts: bytes
    sum: Sum
    adds: Sum


@dataclass(frozen=True, slots=True)
class Index:
    """As much as is used of what the index says of the log."""

    salts: bytes
    num_frames: int
    page_size: int

    @property
    def log_bytes(self) -> int:
        """How long the log is, if it has a frame."""
        frame_bytes = _FRAME.size + self.page_size
        return _LOG.size + self.num_frames * frame_bytes if self.num_frames else 0


_NO_INDEX = Index(b"", 0, 0)


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


def look_through(log: Path, index: Path) -> LogExtent:
    """What of a log is read; nobody may have its file open.

    (SQLite holds locks on the index that would go if this process closed it.)
    """
    try:
        with log.open("rb") as file:
            return _look_through(file, log.stat().st_size, index)
    except FileNotFoundError:
        return LogExtent(0, 0)


def _look_through(file: BinaryIO, size: int, index: Path) -> LogExtent:
    counted = _read_index(index)
    head = file.read(_LOG.size)
    if len(head) < _LOG.size:
        return LogExtent(0, counted.log_bytes)
    magic, version, page_size, _, salts, *stored = _LOG.unpack(head)
    order = ">u4" if magic & 1 else "<u4"
    start = _sum(head[: _LOG.size - _SUMMED], order)
    if magic & ~1 != _MAGIC or version != _VERSION or start != Sum(*stored):
        return LogExtent(0, max(size, counted.log_bytes))
    frame_bytes = _FRAME.size + page_size
    walk = _Walk(salts, start, (page_size + _SUMMED) // 4)
    while data := file.read(frame_bytes * _AT_ONCE):
        for frame in _frames(data[: len(data) // frame_bytes * frame_bytes], frame_bytes, order):
            walk.take(frame)
    read, written = (_LOG.size + frame_bytes * each for each in (walk.num_read, walk.num_written))
    return LogExtent(read, max(written, counted.log_bytes if counted.salts == salts else 0))


class _Walk:
    """Follows the chain of checksums from frame to frame."""

    def __init__(self, salts: bytes, start: Sum, num_words: int) -> None:
        self.num_read = 0
        self.num_written = 0
        self._salts = salts
        self._num_words = num_words
        self._num_frames = 0
        self._broken = False
        self._before = start

    def take(self, frame: Frame) -> None:
        """Look at the next frame."""
        self._num_frames += 1
        # Behind a broken frame, those that were written after it still sum up one by one.
        whole = (
            frame.salts == self._salts
            and frame.page > 0
            and _go_on(self._before, frame.adds, self._num_words) == frame.sum
        )
        self._before = frame.sum
        self._broken = self._broken or not whole
        if whole and frame.closes:
            self.num_written = self._num_frames
            if not self._broken:
                self.num_read = self._num_frames


def _frames(data: bytes, frame_bytes: int, order: str) -> list[Frame]:
    """The frames of some bytes, whole ones."""
    rows = np.frombuffer(data, np.uint8).reshape(-1, frame_bytes)
    summed = np.hstack((rows[:, :_SUMMED], rows[:, _FRAME.size :]))
    adds = _added(summed.view(order))
    frames: list[Frame] = []
    for row, each in enumerate(adds):
        page, pages, salts, *stored = _FRAME.unpack_from(data, row * frame_bytes)
        frames.append(Frame(page, pages > 0, salts, Sum(*stored), each))
    return frames


def _read_index(path: Path) -> Index:
    """What the index says; one without frames if it cannot be told."""
    try:
        with path.open("rb") as file:
            data, again = file.read(_INDEX.size), file.read(_INDEX.size)
    except OSError:
        return _NO_INDEX
    if len(data) < _INDEX.size or data != again:
        return _NO_INDEX
    version, _, _, in_use, _, page_size, num_frames, _, _, salts, *stored = _INDEX.unpack(data)
    if version != _VERSION or not in_use or _sum(data[:_INDEX_SUMMED], "=u4") != Sum(*stored):
        return _NO_INDEX
    return Index(salts, num_frames, 65_536 if page_size == 1 else page_size)


# Of each pair of words the first is added to the first sum, and with it the second sum; then the
# second word, and with it the first sum, to the second. All that is linear, modulo 2 to the 32nd.


@dataclass(frozen=True, slots=True)
class _Change:
    """What becomes of the sums (1, 0) and (0, 1) over so many pairs of zeros."""

    of_first: Sum = Sum(1, 0)
    of_second: Sum = Sum(0, 1)

    def over_a_pair(self) -> "_Change":
        """The same over one more."""
        first = self.of_first + self.of_second
        return _Change(first, first + self.of_second)


def _sum(data: bytes, order: str) -> Sum:
    """The checksum of some bytes alone."""
    return _added(np.frombuffer(data, order).reshape(1, -1))[0]


def _go_on(before: Sum, adds: Sum, num_words: int) -> Sum:
    """The checksum after so many words, of which it is known what they add."""
    change = _change(num_words // 2)
    return change.of_first * before.first + change.of_second * before.second + adds


def _added(words: Words) -> list[Sum]:
    """What each row of words adds to a checksum."""
    factors = _factors(words.shape[1])  # (words, 2)
    sums = (words[:, :, None].astype(np.uint32) * factors).sum(axis=1, dtype=np.uint32)
    return [Sum(int(first), int(second)) for first, second in sums]


@lru_cache(maxsize=8)
def _change(num_pairs: int) -> _Change:
    change = _Change()
    for _ in range(num_pairs):
        change = change.over_a_pair()
    return change


@lru_cache(maxsize=8)
def _factors(num_words: int) -> Words:
    """What a one at the place of each word adds to both sums."""
    factors = np.empty((num_words, 2), np.uint32)
    change = _Change()
    for last in range(num_words - 1, 0, -2):
        factors[last] = change.of_second.first, change.of_second.second
        change = change.over_a_pair()
        factors[last - 1] = change.of_first.first, change.of_first.second
    return factors
