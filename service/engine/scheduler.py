"""Which requests run next, and which of their time steps: pure deciding, without tensors or
clock.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from carousel.service.engine.chunk_budget import ChunkBudget
from carousel.service.engine.pace import Pace
from carousel.service.engine.request import Abandoned, Request
from carousel.service.engine.run_memory import UNBOUNDED, RunMemory
from carousel.service.errors import DeadlineExceeded

# A padded run may waste at most a quarter of its time steps on its shortest row.
_MIN_FILL = 0.75
# A short run of chunks is for the single steps that may come meanwhile. Where none has come for so
# long it serves nobody, and chunks may take as many budgets as this.
_NO_SINGLES_S = 1.0
_PATIENT_BUDGETS = 4


@dataclass(slots=True)
class Row:
    """One row of a batch: `length` time steps of `request` from `start` on; never changed."""

    request: Request
    start: int
    length: int


@dataclass(slots=True)
class Schedule:
    """What to do now: the rows of one batch, and requests that will not run, their error set."""

    rows: list[Row] = field(default_factory=list)
    dropped: list[Request] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the program allows: rows a run, steps a run (None: any), and how lengths may mix.

    `chunked`: whether a sequence may be cut; `mixed_lengths`: whether a run may be padded.
    `memory`: what a run may take, by its rows and steps.
    """

    max_rows: int
    max_run_steps: int | None
    chunked: bool
    mixed_lengths: bool
    memory: RunMemory = UNBOUNDED

    @property
    def max_whole_steps(self) -> int | None:
        """The most time steps of a sequence that runs whole; None where sequences may be cut."""
        return None if self.chunked else self.memory.most_steps()


class Scheduler:
    """First come, first served, in two lines: single steps and longer sequences take turns.

    Single steps never share a padded run with chunks, so they never wait for one inside a run; and
    since the lines alternate, neither starves the other. Within a line the head always runs.
    Several runs may be under way at once: `schedule` begins one, `update` ends it.
    """

    def __init__(self, limits: Limits, budget: ChunkBudget, pace: Pace = Pace()) -> None:  # noqa: B008, frozen
        self.limits = limits
        self.budget = budget
        self.pace = pace
        self._max_rows = min(limits.max_rows, pace.rows)
        self._max_singles = min(self._max_rows, limits.memory.most_rows(1))
        self._num_running = {True: 0, False: 0}  # of single steps, of chunks
        self._single_at = -math.inf
        self._singles: deque[Request] = deque()
        self._chunks: deque[Request] = deque()
        self._chunks_turn = False

    def __repr__(self) -> str:
        return f"<Scheduler singles={len(self._singles)} chunks={len(self._chunks)}>"

    @property
    def is_idle(self) -> bool:
        """True when nothing waits."""
        return not self._singles and not self._chunks

    def add(self, requests: Iterable[Request]) -> None:
        """Queue requests in the order they came; also those that have run in part."""
        for request in requests:
            (self._singles if self._is_single(request) else self._chunks).append(request)

    def _is_single(self, request: Request) -> bool:
        return request.remaining == 1 or self.limits.max_run_steps == 1

    def schedule(self, now: float) -> Schedule:
        """The next batch; its rows leave the queue until `update` puts the unfinished back. None
        where nothing waits that may begin beside what is under way.
        """
        schedule = Schedule()
        singles = self.pace.may_begin(len(self._singles), self._num_running[True])
        chunks = self.pace.may_begin(len(self._chunks), self._num_running[False])
        take_chunks = chunks and (self._chunks_turn or not singles)
        if take_chunks:
            self._take_chunks(schedule, now)
        elif singles:
            self._take_singles(schedule, now)
        if singles or chunks:
            self._chunks_turn = not take_chunks
        if schedule.rows:
            self._num_running[not take_chunks] += 1
        return schedule

    def update(self, rows: Sequence[Row], elapsed_s: float) -> list[Request]:
        """Book what a run did; returns the requests that are finished or failed, queues the
        rest.
        """
        if rows:
            self._num_running[self._is_single(rows[0].request)] -= 1
        longest = max((row.length for row in rows), default=0)
        if longest > 1:
            # A single step is mostly overhead and says little about the steps of a chunk.
            self.budget.measured(len(rows), longest, elapsed_s)
        finished: list[Request] = []
        for row in rows:
            row.request.done_steps = row.start + row.length
            if row.request.error is not None or row.request.remaining == 0:
                finished.append(row.request)
            else:
                self.add((row.request,))
        return finished

    def _take_singles(self, schedule: Schedule, now: float) -> None:
        queue = self._singles
        self._single_at = now
        while queue and len(schedule.rows) < self._max_singles:
            request = queue.popleft()
            if _may_run(request, now, schedule):
                schedule.rows.append(Row(request, request.done_steps, 1))

    def _take_chunks(self, schedule: Schedule, now: float) -> None:
        most = self._most_steps(now)
        left: list[Request] = []
        shortest = longest = 0
        while self._chunks and len(schedule.rows) < self._max_rows:
            request = self._chunks.popleft()
            if not _may_run(request, now, schedule):
                continue
            length = min(request.remaining, most) if most is not None else request.remaining
            if schedule.rows and not self._fits(
                len(schedule.rows) + 1, min(shortest, length), max(longest, length)
            ):
                left.append(request)
                continue
            shortest = min(shortest, length) if schedule.rows else length
            longest = max(longest, length)
            schedule.rows.append(Row(request, request.done_steps, length))
        self._chunks.extendleft(reversed(left))

    def _most_steps(self, now: float) -> int | None:
        if not self.limits.chunked:
            return None
        budgets = 1 if now - self._single_at < _NO_SINGLES_S else _PATIENT_BUDGETS
        most = self.budget.steps(min(len(self._chunks), self._max_rows), budgets)
        most = min(most, self.limits.memory.most_steps())
        return most if self.limits.max_run_steps is None else min(most, self.limits.max_run_steps)

    def _fits(self, num_rows: int, shortest: int, longest: int) -> bool:
        """Whether such rows may share a run: by memory, and by what padding would waste."""
        if not self.limits.memory.fits(num_rows, longest):
            return False
        if shortest == longest:
            return True
        return self.limits.mixed_lengths and shortest >= _MIN_FILL * longest


def _may_run(request: Request, now: float, schedule: Schedule) -> bool:
    """Whether a request still wants to run; one that has begun always does."""
    if request.done_steps > 0:
        return True
    if request.abandoned:
        request.error = Abandoned()
    elif now > request.deadline:
        request.error = DeadlineExceeded("the deadline passed before the request could start")
    else:
        return True
    schedule.dropped.append(request)
    return False
