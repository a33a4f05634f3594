"""docs/batches.svg: which steps of several sessions run together, as the scheduler decides.

    python -m benchmarks.batches

The scheduler is the service's own, with a smaller limit of rows; when steps arrive is made up here.
The picture is the same each time: no clock and no model take part.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from carousel.service.engine.chunk_budget import ChunkBudget
from carousel.service.engine.request import Request
from carousel.service.engine.scheduler import Limits, Scheduler

PAGE = Path(__file__).parents[1] / "docs" / "batches.svg"

MAX_ROWS = 4
_BUDGET_S = 0.005
# Each run is said to have taken its budget, so that a piece stays at the scheduler's first guess.
_RUN_S = 0.005

SESSIONS = ("A", "B", "C", "D", "E", "F")
# What arrives before each run, during the one before it: a session, and how many time steps it
# sends. A session waits for its reply before it sends more.
ARRIVALS: tuple[dict[str, int], ...] = (
    {"A": 1, "B": 1, "F": 40},
    {"C": 1, "D": 1},
    {"A": 1, "B": 1, "E": 1},
    {},
    {"A": 1, "C": 1},
    {},
    {"B": 1, "D": 1, "E": 1},
)

_LEFT, _TOP, _LANE, _BAR = 108, 64, 38, 22
_GAP, _MARGIN = 34, 18
_STEP_WIDTH, _WIDER = 58, 2  # of a single step, and what each further time step adds
_FONT = "'DejaVu Sans', Verdana, Helvetica, Arial, sans-serif"
_KEY = (
    "dot and dashes: a request arrives, and waits for a run",
    "box: time steps of one session; all boxes of a run are one batch, one call of the model",
    "line between boxes: the state, which the service keeps for the session",
    f"A batch takes {MAX_ROWS} sessions at most in this picture, and 256 in the service.",
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Time steps of one session in a run: `start` to `end`, as its positions."""

    session: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Run:
    """One call of the model: what arrived before it, and what it runs."""

    arrived: tuple[str, ...]
    pieces: tuple[Piece, ...]

    @property
    def width(self) -> int:
        """How wide it is drawn: the longer, the wider."""
        longest = max(each.end - each.start for each in self.pieces)
        return _STEP_WIDTH + (longest - 1) * _WIDER


def simulate() -> list[Run]:
    """The runs that the scheduler makes of the arrivals, until nothing waits."""
    limits = Limits(max_rows=MAX_ROWS, max_run_steps=None, chunked=True, mixed_lengths=True)
    scheduler = Scheduler(limits, ChunkBudget(_BUDGET_S))
    positions = dict.fromkeys(SESSIONS, 0)
    runs: list[Run] = []
    while len(runs) < len(ARRIVALS) or not scheduler.is_idle:
        arrived = ARRIVALS[len(runs)] if len(runs) < len(ARRIVALS) else {}
        scheduler.add(
            Request({}, num_steps, deadline=1.0, ticket=session)
            for session, num_steps in arrived.items()
        )
        rows = scheduler.schedule(0.0).rows
        pieces: list[Piece] = []
        for row in rows:
            session = str(row.request.ticket)
            start = positions[session]
            positions[session] = start + row.length
            pieces.append(Piece(session, start, positions[session]))
        scheduler.update(rows, _RUN_S)
        runs.append(Run(tuple(arrived), tuple(pieces)))
    return runs


def draw() -> str:
    """The picture as SVG 1.1."""
    return "\n".join(_page(simulate())) + "\n"


def _page(runs: list[Run]) -> Iterator[str]:
    lefts = _lefts(runs)
    width = lefts[-1] + runs[-1].width + _MARGIN
    lanes = _TOP + len(SESSIONS) * _LANE
    height = lanes + 20 * len(_KEY) + 2 * _MARGIN
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" version="1.1" role="img" width="{width}" '
        f'height="{height}" viewBox="0 0 {width} {height}" font-family="{_FONT}" font-size="13" '
        'fill="#1a1a1a" aria-labelledby="batches-title batches-text">'
    )
    yield '<title id="batches-title">Which steps of six sessions run together</title>'
    yield f'<desc id="batches-text">{_in_words(runs)}</desc>'
    yield f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    for number, (run, left) in enumerate(zip(runs, lefts, strict=True), 1):
        yield from _band(f"run {number}", run, left, lanes)
    for lane, session in enumerate(SESSIONS):
        yield from _line(session, _middle(lane), runs, lefts)
    for line, text in enumerate(_KEY):
        yield f'<text x="{_MARGIN}" y="{lanes + 2 * _MARGIN + 20 * line}">{text}</text>'
    yield "</svg>"


def _in_words(runs: list[Run]) -> str:
    """The picture for those who do not see it."""
    said = [
        ", ".join(f"{each.session} {each.start} to {each.end}" for each in run.pieces)
        for run in runs
    ]
    return " ".join(f"Run {number}: {text}." for number, text in enumerate(said, 1))


def _lefts(runs: list[Run]) -> list[int]:
    """Where each run begins; what arrives before it has room in front of it."""
    lefts = [_LEFT + _GAP]
    for run in runs[:-1]:
        lefts.append(lefts[-1] + run.width + _GAP)
    return lefts


def _middle(lane: int) -> int:
    return _TOP + lane * _LANE + _LANE // 2


def _band(name: str, run: Run, left: int, bottom: int) -> Iterator[str]:
    """One call of the model, from top to bottom."""
    rows = f"{len(run.pieces)} session{'s' if len(run.pieces) > 1 else ''}"
    yield (
        f'<rect x="{left - 4}" y="{_TOP - 4}" width="{run.width + 8}" height="{bottom - _TOP + 8}" '
        'rx="6" fill="#fff7e0" stroke="#8a6510"/>'
    )
    place = f'x="{left + run.width // 2}" text-anchor="middle"'
    yield f'<text {place} y="{_TOP - 28}" font-weight="bold">{name}</text>'
    yield f'<text {place} y="{_TOP - 12}">{rows}</text>'


def _line(session: str, y: int, runs: list[Run], lefts: list[int]) -> Iterator[str]:
    """One session from left to right: what it sends, what runs, and its state in between."""
    yield f'<text x="{_MARGIN}" y="{y + 5}">session {session}</text>'
    state_from: int | None = None
    waits_from: int | None = None
    arrives = _LEFT + _GAP // 2
    for run, left in zip(runs, lefts, strict=True):
        if session in run.arrived:
            waits_from = arrives
        arrives = left + run.width // 2
        for piece in (each for each in run.pieces if each.session == session):
            if state_from is not None:
                yield _stroke(state_from, left, y, 'stroke="#6a3fa0" stroke-width="3"')
            if waits_from is not None:
                yield _stroke(waits_from, left, y - 7, 'stroke="#2f6299" stroke-dasharray="3 3"')
                yield f'<circle cx="{waits_from}" cy="{y - 7}" r="4" fill="#2f6299"/>'
            yield from _box(piece, left, run.width, y)
            state_from, waits_from = left + run.width, None


def _stroke(left: int, right: int, y: int, paint: str) -> str:
    return f'<line x1="{left}" y1="{y}" x2="{right}" y2="{y}" {paint}/>'


def _box(piece: Piece, left: int, width: int, y: int) -> Iterator[str]:
    num_steps = piece.end - piece.start
    said = "1 step" if num_steps == 1 else f"{num_steps} steps"
    yield (
        f'<rect x="{left}" y="{y - _BAR // 2}" width="{width}" height="{_BAR}" rx="4" '
        'fill="#e9f6ec" stroke="#2c7240"/>'
    )
    yield f'<text x="{left + width // 2}" y="{y + 5}" text-anchor="middle">{said}</text>'


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=PAGE, help="(default docs/batches.svg)")
    parser.parse_args().output.write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
