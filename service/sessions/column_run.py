"""Runs columns: each row is a step of its session, by the rules of every other step.

Rows whose sessions are idle, and where the row says, go together (BlockRun); each of the others is
a StepRun, which knows what to do. Sessions that are not in memory come in first.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from carousel.models.row import Array
from carousel.models.spec import ModelSpec
from carousel.service.engine.block import Block
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import (
    CarouselError,
    DeadlineExceeded,
    ModelMismatch,
)
from carousel.service.sessions.block_run import BlockRun
from carousel.service.sessions.column_sessions import find_positions, open_missing
from carousel.service.sessions.columns import NO_POSITION, ColumnReplies, Columns
from carousel.service.sessions.committer import WriteLost
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.session import Session
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.step import Step
from carousel.service.sessions.step_run import StepRun

# Rows that are begun, or sessions that are looked up, before others have a turn.
_SLICE = 256
# Rows of blocks that are under way together: each has a slot beside its session's own.
_BLOCK_ROWS = 1024
# Fewer go one by one, in runs with others.
_MIN_BLOCK = 4


async def run_columns(
    sessions: Sessions, tenant: str, columns: Columns, *, max_at_once: int
) -> ColumnReplies:
    """Step every row that is not at fault, `max_at_once` of them in the model's queue together.

    Each row succeeds or fails by itself; what `begin_step` tells, and SessionLimit of a row that is
    to be opened, are the row's. Cancelled, it abandons what runs.
    """
    replies = ColumnReplies.of(columns)
    if columns.open:
        await open_missing(sessions, tenant, columns, replies)
    await _ColumnRun(sessions, tenant, columns, replies, max_at_once).step_all()
    await find_positions(sessions, tenant, columns, replies)
    return replies


@dataclass(slots=True)
class _Sorted:
    """Rows of a slice. `ready`: those whose steps could run at once, by their time steps."""

    ready: dict[int, list[tuple[int, Session]]]
    cold: list[int]
    rest: list[int]


class _ColumnRun:
    """One request on its way."""

    def __init__(
        self,
        sessions: Sessions,
        tenant: str,
        columns: Columns,
        replies: ColumnReplies,
        max_at_once: int,
    ) -> None:
        self._replies = replies
        self._sessions = sessions
        self._cache = sessions.cache
        self._tenant = tenant
        self._columns = columns
        self._max_at_once = max_at_once
        self._running: dict[int, StepRun] = {}
        self._blocks: dict[BlockRun, list[int]] = {}
        self._lost: list[int] = []
        self._changed = asyncio.Event()

    async def step_all(self) -> None:
        """Begin the rows in order, and come back when the last has ended."""
        num_rows = self._columns.num_rows
        try:
            for start in range(0, num_rows, _SLICE):
                await self._until(self._has_room)
                part = range(start, min(start + _SLICE, num_rows))
                await self._begin_slice([row for row in part if row not in self._replies.errors])
                await asyncio.sleep(0)  # others have requests too
            await self._until(lambda: not self._blocks)
            await self._begin_each(self._lost)
            await self._until(lambda: not self._running)
        except asyncio.CancelledError:
            for block in self._blocks:
                block.abandon()
            for run in self._running.values():
                run.abandon()
            raise

    async def _begin_each(self, rows: Sequence[int]) -> None:
        for row in rows:
            await self._until(lambda: len(self._running) < self._max_at_once)
            self._begin(row)

    def _has_room(self) -> bool:
        """Whether the blocks under way leave room for a slice, in slots and in the queue."""
        columns, num_rows = self._columns, sum(map(len, self._blocks.values()))
        row_bytes = sum(each.nbytes for each in columns.inputs.values()) // columns.num_rows
        fits = columns.model.engine.room_bytes >= row_bytes * _SLICE
        return num_rows == 0 or (fits and num_rows <= _BLOCK_ROWS - _SLICE)

    async def _begin_slice(self, rows: Sequence[int]) -> None:
        sorted_rows = self._sort(rows)
        if sorted_rows.cold:
            await self._fetch(sorted_rows.cold)
            sorted_rows = self._sort([row for row in rows if row not in self._replies.errors])
        rest = sorted_rows.rest + sorted_rows.cold
        for num_steps, ready in sorted_rows.ready.items():
            rest += self._begin_blocks(ready, num_steps)
        await self._begin_each(rest)

    def _sort(self, rows: Sequence[int]) -> "_Sorted":
        """Which rows can go together, which have no session in memory, and the rest."""
        columns, found = self._columns, _Sorted({}, [], [])
        loaded, ids = columns.model, columns.session_ids
        tenant, get = self._tenant, self._cache.resident.get
        clock, longest = self._cache.clock, columns.model.spec.max_position
        now = clock()
        for row, position, num_steps in zip(*columns.wanted(rows), strict=True):
            session = get((tenant, ids[row]))
            if session is None:
                found.cold.append(row)
                continue
            meta = session.meta
            if session.busy or session.loaded is not loaded or loaded.retired:
                found.rest.append(row)
            elif meta.expires_at <= now and clock.has_ended(meta):
                found.cold.append(row)
            elif position not in (NO_POSITION, meta.position) or (
                longest is not None and meta.position + num_steps > longest
            ):
                found.rest.append(row)
            else:
                found.ready.setdefault(num_steps, []).append((row, session))
        return found

    async def _fetch(self, rows: Sequence[int]) -> None:
        """Bring the sessions of rows into memory; that of a row may not be there, or in time."""
        columns, cold = self._columns, set(rows)

        def found(row: int, outcome: object) -> None:
            if row in cold:
                cold.remove(row)
                if isinstance(outcome, Exception):
                    self._replies.refuse(row, outcome)
                self._changed.set()

        for row in sorted(cold):
            self._cache.fetch(self._tenant, columns.session_ids[row], partial(found, row))
        try:
            async with asyncio.timeout(columns.deadline - time.monotonic()):
                await self._until(lambda: not cold)
        except TimeoutError:
            for row in list(cold):
                found(row, DeadlineExceeded("the request waited for its session for too long"))

    def _begin_blocks(self, ready: Sequence[tuple[int, Session]], num_steps: int) -> list[int]:
        """Begin rows of equal length together; returns those that cannot."""
        most = self._columns.model.engine.core.scheduler.block_rows(num_steps)
        if most < _MIN_BLOCK:
            return [row for row, _ in ready]
        rest: list[int] = []
        for start in range(0, len(ready), most):
            # For the slots of one block sessions that wait for the next may have been given up.
            part = [each for each in ready[start : start + most] if not each[1].dropped]
            rest += [row for row, session in ready[start : start + most] if session.dropped]
            if len(part) < _MIN_BLOCK:
                rest += [row for row, _ in part]
            else:
                rest += self._begin_block(part, num_steps)
        return rest

    def _begin_block(self, part: Sequence[tuple[int, Session]], num_steps: int) -> list[int]:
        """Begin a block of them, or of as many as there are slots for; returns the others."""
        columns = self._columns
        rows, sessions = [row for row, _ in part], [session for _, session in part]
        inputs = {
            each.name: columns.inputs[each.name][columns.places(each, rows)]
            for each in columns.model.spec.sent_inputs
        }
        run = BlockRun(self._cache, sessions, self._take_block)
        count = run.take_slots()
        rest, rows = rows[count:], rows[:count]
        if not rows:
            return rest
        inputs = {name: array[:count] for name, array in inputs.items()}
        self._blocks[run] = rows
        try:
            run.begin(inputs, num_steps, columns.deadline)
        except CarouselError as error:
            del self._blocks[run]
            for row in rows:
                self._replies.refuse(row, error)
        return rest

    def _take_block(self, run: BlockRun, block: Block) -> None:
        rows = self._blocks.pop(run)
        self._changed.set()
        good: Sequence[int] = range(len(rows))
        if block.faults or block.error is not None:
            good = [place for place in good if self._is_good(rows[place], block, place)]
        if not good:
            return
        places = [rows[place] for place in good]
        try:
            for each in self._columns.model.spec.outputs:
                values = block.outputs[each.name]  # (R, T, O...) or (R, O...)
                if len(good) < len(rows):
                    values = values[good]
                self._replies.outputs[each.name][self._columns.places(each, places)] = values
            self._replies.positions[places] = [run.positions[place] for place in good]
        except Exception as error:
            for row in places:  # done, and their answers lost: they are not zeros
                self._replies.refuse(row, error)

    def _is_good(self, row: int, block: Block, place: int) -> bool:
        error = block.faults.get(place, block.error)
        if isinstance(error, WriteLost):
            self._lost.append(row)
        elif error is not None:
            self._replies.refuse(row, error)
        return error is None

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds that changes with what is under way."""
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    def _begin(self, row: int) -> None:
        columns = self._columns
        key = (self._tenant, columns.session_ids[row])

        def read(loaded: LoadedModel) -> Step:
            _check_same(columns.model, loaded)
            return self._step(row)

        def done(outcome: StepReply | Exception) -> None:
            del self._running[row]
            self._changed.set()
            if isinstance(outcome, StepReply):
                self._take(row, outcome)
            else:
                self._replies.refuse(row, outcome)

        self._running[row] = self._sessions.begin(key, read, columns.deadline, done)

    def _step(self, row: int) -> Step:
        columns = self._columns
        inputs: dict[str, Array] = {}
        for each in columns.model.spec.sent_inputs:
            inputs[each.name] = columns.inputs[each.name][columns.place(each, row)]
        return Step(inputs, columns.steps_of(row), columns.deadline, columns.position_of(row))

    def _take(self, row: int, reply: StepReply) -> None:
        columns = self._columns
        for each in columns.model.spec.outputs:
            self._replies.outputs[each.name][columns.place(each, row)] = reply.outputs[each.name]
        self._replies.positions[row] = reply.position
        self._replies.replayed[row] = reply.replayed


def _check_same(asked: LoadedModel, loaded: LoadedModel) -> None:
    """Raise ModelMismatch for a session of another model, or of a version that takes and gives
    other tensors: they were read, and are answered, together.
    """
    if loaded is asked:
        return
    if loaded.name != asked.name:
        raise ModelMismatch(
            f"the session is one of {loaded.name}; the request steps those of {asked.name}"
        )
    if _on_wire(loaded.spec) != _on_wire(asked.spec):
        raise ModelMismatch(
            f"the session is one of version {loaded.version}, whose inputs or outputs are others "
            f"than those of version {asked.version}, which the request was read for",
            hint="name that version, and step the sessions of each by themselves",
        )


def _on_wire(spec: ModelSpec) -> object:
    return spec.inputs, spec.outputs, spec.min_sequence, spec.max_sequence
