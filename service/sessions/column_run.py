"""Runs columns: each row is a step of its session, by the rules of every other step."""

import asyncio
from types import EllipsisType

from carousel.models.spec import ModelSpec
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.errors import (
    CarouselError,
    ModelMismatch,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    forget_frames,
)
from carousel.service.sessions.columns import NO_POSITION, ColumnReplies, Columns
from carousel.service.sessions.deadline import within
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.sessions import Sessions
from carousel.service.sessions.step import Step
from carousel.service.sessions.step_run import StepRun

# Rows that are begun, or sessions that are looked up, before others have a turn.
_SLICE = 256


async def run_columns(
    sessions: Sessions, tenant: str, columns: Columns, *, max_at_once: int
) -> ColumnReplies:
    """Step every row that is not at fault, `max_at_once` of them in the model's queue together.

    Each row succeeds or fails by itself; what `begin_step` tells, and SessionLimit of a row that is
    to be opened, are the row's. Cancelled, it abandons what runs.
    """
    run = _ColumnRun(sessions, tenant, columns, max_at_once)
    if columns.open:
        await run.open_missing()
    await run.step_all()
    await run.find_positions()
    return run.replies


class _ColumnRun:
    """One request on its way."""

    def __init__(self, sessions: Sessions, tenant: str, columns: Columns, max_at_once: int) -> None:
        self.replies = ColumnReplies.of(columns)
        for row, fault in columns.faults.items():
            self.replies.refuse(row, fault)
        self._sessions = sessions
        self._tenant = tenant
        self._columns = columns
        self._max_at_once = max_at_once
        self._running: dict[int, StepRun] = {}
        self._changed = asyncio.Event()
        # By name, and whether it has a value for every time step.
        spec = columns.model.spec
        self._inputs = [(each.name, columns.is_timed(each)) for each in spec.sent_inputs]
        self._outputs = [(each.name, columns.is_timed(each)) for each in spec.outputs]
        self._ends = None if columns.lengths is None else columns.ends()

    async def open_missing(self) -> None:
        """Start the sessions that are not there, of rows that name no other position than 0."""
        rows = [
            row
            for row, session_id in enumerate(self._columns.session_ids)
            if row not in self.replies.errors
            and self._position(row) in (None, 0)
            and self._sessions.peek(self._tenant, session_id) is None
        ]
        for start in range(0, len(rows), _SLICE):
            await asyncio.gather(*map(self._open, rows[start : start + _SLICE]))

    async def _open(self, row: int) -> None:
        columns = self._columns
        try:
            opening = self._find_or_open(columns.session_ids[row])
            self.replies.opened[row] = await within(columns.deadline, opening, "its session")
        except Exception as error:
            self._refuse(row, error)

    async def _find_or_open(self, session_id: str) -> bool:
        """Whether it was opened; another request may have been quicker, and then both step it."""
        try:
            await self._sessions.find(self._tenant, session_id)
        except (SessionNotFound, SessionExpired) as error:
            forget_frames(error)
        else:
            return False
        model = self._columns.model
        try:
            await self._sessions.open(
                self._tenant,
                model=model.name,
                version=model.version,
                session_id=session_id,
                ttl_s=self._columns.ttl_s,
            )
        except SessionExists as error:
            forget_frames(error)
            return False
        return True

    async def step_all(self) -> None:
        """Begin the rows in order, and come back when the last has ended."""
        try:
            for row in range(self._columns.num_rows):
                if row in self.replies.errors:
                    continue
                await self._until(self._max_at_once - 1)
                self._begin(row)
                if row % _SLICE == _SLICE - 1:
                    await asyncio.sleep(0)  # others have requests too
            await self._until(0)
        except asyncio.CancelledError:
            for run in self._running.values():
                run.abandon()
            raise

    async def find_positions(self) -> None:
        """Where the sessions of rows at fault stand. Those of rows that were refused before
        anybody looked for them may have to be looked up.
        """
        columns, positions = self._columns, self.replies.positions
        unknown = [row for row in self.replies.errors if positions[row] == NO_POSITION]
        for row in unknown:
            session = self._sessions.peek(self._tenant, columns.session_ids[row])
            if session is not None:
                positions[row] = session.position
        cold = [each for each in unknown if each in columns.faults and positions[each] < 0]
        for start in range(0, len(cold), _SLICE):
            await asyncio.gather(*map(self._find_position, cold[start : start + _SLICE]))

    async def _find_position(self, row: int) -> None:
        finding = self._sessions.find(self._tenant, self._columns.session_ids[row])
        try:
            found = await within(self._columns.deadline, finding, "its session")
        except CarouselError as error:
            forget_frames(error)
        else:
            self.replies.positions[row] = found.position

    async def _until(self, num_running: int) -> None:
        while len(self._running) > num_running:
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
                self._refuse(row, outcome)

        self._running[row] = self._sessions.begin(key, read, columns.deadline, done)

    def _step(self, row: int) -> Step:
        columns = self._columns
        inputs = {
            name: columns.inputs[name][self._place(row, timed=timed)]
            for name, timed in self._inputs
        }
        num_steps = columns.num_steps if columns.lengths is None else int(columns.lengths[row])
        return Step(inputs, num_steps, columns.deadline, self._position(row))

    def _take(self, row: int, reply: StepReply) -> None:
        for name, timed in self._outputs:
            self.replies.outputs[name][self._place(row, timed=timed)] = reply.outputs[name]
        self.replies.positions[row] = reply.position
        self.replies.replayed[row] = reply.replayed

    def _refuse(self, row: int, error: Exception) -> None:
        if isinstance(error, CarouselError):
            # Until the answer is told, thousands of errors would hold what they came through.
            forget_frames(error)
        self.replies.refuse(row, error)

    def _place(self, row: int, *, timed: bool) -> slice | tuple[int, EllipsisType]:
        """Where a row stands in a column; of a single number an array comes of it too."""
        if self._ends is None or not timed:
            return row, ...
        return slice(int(self._ends[row - 1]) if row else 0, int(self._ends[row]))

    def _position(self, row: int) -> int | None:
        positions = self._columns.positions
        if positions is None or positions[row] == NO_POSITION:
            return None
        return int(positions[row])


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
