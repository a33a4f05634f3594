"""Progress of a long task: one live line on a terminal, plain lines elsewhere, or nothing."""

import itertools
import sys
import threading
import time
from types import TracebackType
from typing import Self, TextIO

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"
_REDRAW_S = 0.1
_CLEAR_LINE = "\r\x1b[2K"


class Progress:
    """Shows what is being done now. Use as a context manager; `stage` names the next thing.

    On a terminal the line turns and counts seconds until the next stage; elsewhere every stage is
    one line. With `quiet` nothing is written at all.
    """

    def __init__(self, title: str, stream: TextIO | None = None, quiet: bool = False) -> None:
        self._title = title
        self._stream = sys.stderr if stream is None else stream
        self._quiet = quiet
        self._live = not quiet and self._stream.isatty()
        self._stage = self._detail = ""
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._painter: threading.Thread | None = None

    def __repr__(self) -> str:
        return f"<Progress {self._title!r} stage={self._stage!r} live={self._live}>"

    def __enter__(self) -> Self:
        if self._live:
            self._painter = threading.Thread(target=self._paint, daemon=True)
            self._painter.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        if self._painter is not None:
            self._painter.join()
            self._write(_CLEAR_LINE)

    def stage(self, text: str) -> None:
        """Say what begins now."""
        self._stage, self._detail = text, ""
        if not self._live:
            self._write(f"{self._title}: {text}\n")

    def detail(self, text: str) -> None:
        """Say what part of the stage is on; only where the line is live, logs have the stages."""
        self._detail = text

    def line(self, text: str = "") -> None:
        """A line that stays: a result, a note, a row of a table."""
        self._write(f"{_CLEAR_LINE if self._live else ''}{text}\n")

    def _paint(self) -> None:
        encoding = (getattr(self._stream, "encoding", None) or "ascii").lower()
        frames = _FRAMES if encoding.startswith("utf") else _PLAIN_FRAMES
        for frame in itertools.cycle(frames):
            elapsed = time.monotonic() - self._started
            now = f"{self._stage}, {self._detail}" if self._detail else self._stage
            self._write(f"{_CLEAR_LINE}{frame} {self._title}: {now} ({elapsed:.0f} s)")
            if self._done.wait(_REDRAW_S):
                return

    def _write(self, text: str) -> None:
        if self._quiet:
            return
        with self._lock:
            self._stream.write(text)
            self._stream.flush()
