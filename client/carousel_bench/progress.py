"""What is said while it goes on: sentences, and on a terminal one line that is written over."""

import time
from typing import TextIO

from carousel_bench.load.crew import Measured
from carousel_bench.words import milliseconds, number

_EVERY_S = 0.5
_BAR = 20


class Progress:
    """Writes to `out`; quiet says nothing."""

    def __init__(self, out: TextIO, *, quiet: bool) -> None:
        self._out = out
        self._quiet = quiet
        self._is_terminal = out.isatty()
        self._width = 0
        self._next = 0.0

    def __repr__(self) -> str:
        return f"<Progress terminal={self._is_terminal} quiet={self._quiet}>"

    def say(self, sentence: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._over("")
            self._out.write(f"{sentence}\n")
            self._out.flush()

    def look(self, name: str, measured: Measured) -> None:
        """How far a phase is, by its last whole second."""
        if self._quiet or not self._is_terminal or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _EVERY_S
        phase = measured.phase
        second = max(measured.tallies, default=0) - 1
        tally = measured.tallies.get(second)
        done = min(1.0, max(0.0, (second + 1 + phase.warmup_s) / (phase.warmup_s + phase.seconds)))
        bar = "#" * round(done * _BAR)
        said = ""
        if tally is not None:
            p99 = milliseconds(tally.latency.percentile(99))
            no = (tally.refused + tally.errors).total()
            said = f"{number(tally.done)}/s, p99 {p99} ms" + (f", {no:,} failed" if no else "")
        self._over(f"  [{bar:<{_BAR}}] {name}: {said}")

    def status(self, line: str) -> None:
        """A line that is written over by the next."""
        if not self._quiet:
            self._over(f"  {line}")

    def clear(self) -> None:
        """Take the line away that is written over."""
        self._over("")

    def _over(self, line: str) -> None:
        if self._is_terminal and not self._quiet and (line or self._width):
            self._out.write(f"\r{line:<{self._width}}\r{line}")
            self._out.flush()
            self._width = len(line)
