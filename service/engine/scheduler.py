"""Which requests run next, and which of their time steps: pure deciding, without tensors or
clock.
"""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from carousel.service.engine.block import Block
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
_PATIENT_BUDGETS = 8


@dataclass(slots=True)
class Row:
    """What a run has of a request: `length` time steps from `start` on; never changed."""

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


@dataclass(slots=True, eq=False)
class _Line:
    """Requests of one kind, in the order they came, and how many rows of them are under way."""

    requests: deque[Request] = field(default_factory=deque)
    num_running: int = 0

    @property
    def num_waiting(self) -> int:
        """Rows that wait. Of blocks, which run alone, the head counts."""
        return max(len(self.requests), self.requests[0].num_rows) if self.requests else 0


class Scheduler:
    """First come, first served, in three lines that take turns: single steps, longer sequences, and
    blocks of rows, each of which has a run to itself.

    Single steps never share a padded run with chunks, so they never wait for one inside a run; and
    since the lines take turns, none starves another. Within a line the head always runs. Several
    runs may be under way at once: `schedule` begins one, `update` ends it.
    """

    def __init__(self, limits: Limits, budget: ChunkBudget, pace: Pace | None = None) -> None:
        self.limits = limits
        self.budget = budget
        self.pace = pace if pace is not None else Pace()
        self._singles, self._chunks, self._blocks = _Line(), _Line(), _Line()
        # Whose turn is next, first.
        self._turns = [self._singles, self._chunks, self._blocks]
        self._single_at = -math.inf

    def __repr__(self) -> str:
        waiting = "/".join(
            str(len(each.requests)) for each in (self._singles, self._chunks, self._blocks)
        )
        return f"<Scheduler singles/chunks/blocks={waiting}>"

    @property
    def is_idle(self) -> bool:
        """True when nothing waits."""
        return not any(each.requests for each in self._turns)

    def block_rows(self, num_steps: int) -> int:
        """The most rows of a block of so many time steps."""
        longest = num_steps
        if self.limits.max_run_steps is not None:
            longest = min(longest, self.limits.max_run_steps)
        most = min(self.limits.max_rows, self.limits.memory.most_rows(longest))
        return self.pace.rows(most)

    def add(self, requests: Iterable[Request]) -> None:
        """Queue requests in the order they came; also those that have run in part."""
        for request in requests:
            self._line_of(request).requests.append(request)

    def _line_of(self, request: Request) -> _Line:
        if isinstance(request, Block):
            return self._blocks
        single = request.remaining == 1 or self.limits.max_run_steps == 1
        return self._singles if single else self._chunks

    def schedule(self, now: float) -> Schedule:
        """The next batch; its rows leave the queue until `update` puts the unfinished back. It
        has none where nothing waits that may begin beside what is under way.
        """
        schedule = Schedule()
        for line in self._turns:
            if self.pace.may_begin(line.num_waiting, line.num_running):
                self._take(line, schedule, now)
                self._turns.remove(line)
                self._turns.append(line)
                line.num_running += _count(schedule.rows)
                break
        return schedule

    def update(self, rows: Sequence[Row], elapsed_s: float) -> list[Request]:
        """Book what a run did; returns the requests that are finished or failed, queues the
        rest.
        """
        if rows:
            self._line_of(rows[0].request).num_running -= _count(rows)
        longest = max((row.length for row in rows), default=0)
        if longest > 1:
            # A single step is mostly overhead and says little about the steps of a chunk.
            self.budget.measured(_count(rows), longest, elapsed_s)
        finished: list[Request] = []
        for row in rows:
            row.request.done_steps = row.start + row.length
            if row.request.error is not None or row.request.remaining == 0:
                finished.append(row.request)
            else:
                self.add((row.request,))
        return finished

    def _take(self, line: _Line, schedule: Schedule, now: float) -> None:
        if line is self._chunks:
            self._take_chunks(schedule, now)
        elif line is self._singles:
            self._take_singles(schedule, now)
        else:
            self._take_block(schedule, now)

    def _take_singles(self, schedule: Schedule, now: float) -> None:
        queue = self._singles.requests
        most = min(self._most_rows(self._singles), self.limits.memory.most_rows(1))
        while queue and len(schedule.rows) < most:
            request = queue.popleft()
            if _may_run(request, now, schedule):
                schedule.rows.append(Row(request, request.done_steps, 1))
                if request.num_steps == 1:  # not the end of a longer one
                    self._single_at = now

    def _take_block(self, schedule: Schedule, now: float) -> None:
        """The next block, or a piece of it: its rows are as long as each other."""
        queue = self._blocks.requests
        while queue and not schedule.rows:
            block = queue.popleft()
            if _may_run(block, now, schedule):
                most = self._most_steps(block.num_rows, now)
                length = block.remaining if most is None else min(block.remaining, most)
                schedule.rows.append(Row(block, block.done_steps, length))

    def _take_chunks(self, schedule: Schedule, now: float) -> None:
        queue = self._chunks.requests
        most_rows = self._most_rows(self._chunks)
        most = self._most_steps(min(len(queue), most_rows), now)
        left: list[Request] = []
        shortest = longest = 0
        while queue and len(schedule.rows) < most_rows:
            request = queue.popleft()
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
        queue.extendleft(reversed(left))

    def _most_rows(self, line: _Line) -> int:
        """The most rows of a run of single steps or chunks, by how many there are."""
        return min(self.limits.max_rows, self.pace.rows(line.num_waiting + line.num_running))

    def _most_steps(self, num_rows: int, now: float) -> int | None:
        if not self.limits.chunked:
            return None
        budgets = 1 if now - self._single_at < _NO_SINGLES_S else _PATIENT_BUDGETS
        most = min(self.budget.steps(num_rows, budgets), self.limits.memory.most_steps())
        return most if self.limits.max_run_steps is None else min(most, self.limits.max_run_steps)

    def _fits(self, num_rows: int, shortest: int, longest: int) -> bool:
        """Whether such rows may share a run: by memory, and by what padding would waste."""
        if not self.limits.memory.fits(num_rows, longest):
            return False
        if shortest == longest:
            return True
        return self.limits.mixed_lengths and shortest >= _MIN_FILL * longest


def _count(rows: Sequence[Row]) -> int:
    return sum(row.request.num_rows for row in rows)


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
