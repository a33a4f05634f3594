"""The synchronous heart of the engine: one step is one batch, from schedule to finished
requests.
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from carousel.models.row import Array
from carousel.models.spec import ModelSpec
from carousel.service.backends.base import Backend, ByteRows, DeviceArray, DeviceFailed, Pool
from carousel.service.engine.batch import Batch, Packer, join
from carousel.service.engine.block import Block
from carousel.service.engine.cost_curve import CostCurve
from carousel.service.engine.request import NO_SLOT, Request
from carousel.service.engine.run import Run
from carousel.service.engine.scheduler import Row, Scheduler
from carousel.service.engine.stats import EngineStats
from carousel.service.errors import BackendFailed, NonFiniteState, forget_frames

log = logging.getLogger("carousel.engine")


class Core:
    """Runs what the scheduler decides. Owned by the engine's thread; knows no queue and no
    store.
    """

    def __init__(
        self,
        spec: ModelSpec,
        backend: Backend,
        pool: Pool,
        scheduler: Scheduler,
        *,
        initial_row: bytes,
        clock: Callable[[], float],
        cost: CostCurve | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.cost = cost
        self.stats = EngineStats()
        self._spec = spec
        self._backend = backend
        self._pool = pool
        self._packer = Packer(spec)
        self._initial_row = initial_row
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Core {self.scheduler!r} {self._pool!r}>"

    def step(self) -> list[Request]:
        """Run one batch; returns the requests that are done, each with outputs or its error.

        Raises DeviceFailed when the device is lost; what was scheduled has then no answer.
        """
        run, dropped = self.begin()
        if run is None:
            return dropped
        self.execute(run)
        return dropped + self.end(run)

    def begin(self) -> tuple[Run | None, list[Request]]:
        """The next run, ready to be executed, and the requests that will not run, their error set.

        None where nothing waits that may begin beside what is under way.
        """
        schedule = self.scheduler.schedule(self._clock())
        if not schedule.rows:
            return None, schedule.dropped
        rows = schedule.rows
        return self._prepare(Run(rows, 0, rows[0].request.num_rows)), schedule.dropped

    def execute(self, run: Run) -> None:
        """Run the program, on any thread."""
        run.execute(self._backend, self._clock)

    def end(self, run: Run) -> list[Request]:
        """Take in what a run gave; returns the requests that are done. Raises as `step`."""
        self._finish(run)
        rows = run.rows
        if run.block is not None and run.block.halves:
            self._collect(rows[0], run.block.take_halves())
        num_steps = sum(row.length * row.request.num_rows for row in rows)
        self.stats.ran(run.num_rows, num_steps, run.seconds)
        if self.cost is not None:
            self.cost.ran(run.num_rows, run.num_steps, run.seconds)
        return self.scheduler.update(rows, run.seconds)

    def is_long(self, run: Run) -> bool:
        """Whether a run is for a lane, by what it is expected to take."""
        if self.cost is None:
            return False
        return self.scheduler.pace.is_long(self.cost.seconds(run.num_rows) * run.num_steps)

    def _prepare(self, run: Run) -> Run:
        try:
            run.batch = self._pack(run)
            if self._spec.states:
                run.held = self._pool.gather(self._slots(run))  # (B, N)
                run.states = self._pool.unpack(run.held)
        except DeviceFailed:
            raise
        except Exception as error:
            run.batch, run.error = None, error
        return run

    def _pack(self, run: Run) -> Batch:
        block = run.block
        if block is None:
            return self._packer.pack(run.rows)
        [row] = run.rows
        return self._packer.pack_block(block, slice(run.first, run.last), row.start, row.length)

    def _finish(self, run: Run) -> None:
        """Settle a run's rows; where it failed, in halves, until the row at fault stands alone."""
        if run.error is None:
            try:
                self._settle(run)
            except DeviceFailed:
                raise
            except Exception as error:
                run.error = error
        fault, run.error = run.error, None
        if isinstance(fault, DeviceFailed):
            raise fault
        if fault is not None:
            self._halve(run, fault)

    def _halve(self, run: Run, error: Exception) -> None:
        if run.num_rows == 1:
            log.error("a row failed in the program", exc_info=error)
            _refuse(run, 0, BackendFailed("the model's program failed on this input"))
        # It is told; its frames hold the rows, and they the request.
        forget_frames(error)
        if run.num_rows == 1:
            return
        for half in run.halves():
            self._prepare(half)
            self.execute(half)
            self._finish(half)
            run.seconds += half.seconds

    def _settle(self, run: Run) -> None:
        block = run.block
        if block is None:
            pieces = self._packer.unpack(run.rows, run.outputs)
        else:
            length = run.rows[0].length
            pieces = [self._packer.unpack_block(run.outputs, run.num_rows, length)]
        began = self._clock()
        if run.held is None:
            self._backend.wait()
        else:
            self._keep(run, self._pool.pack(run.new_states, run.held))
        # On a device a run has only begun when the program comes back.
        run.seconds += self._clock() - began
        if block is not None and run.num_rows < block.num_rows:
            block.keep_half(pieces[0], run.first, run.last)
            return
        for row, piece in zip(run.rows, pieces, strict=True):
            self._collect(row, piece)

    def _keep(self, run: Run, new: DeviceArray) -> None:
        """Take the new states, (B, N), to the host where they are wanted, and into the pool."""
        finite = self._pool.finite(new)  # (B,)
        wanted = _wanted(run)
        copies = self._pool.to_host(new, wanted) if wanted else None  # (W, N)
        self._backend.wait()
        _refuse_poisoned(run, finite)
        if copies is not None:
            _give_states(run, wanted, copies)
        # After all that may fail: a row that is run again must find the state it started from.
        self._pool.scatter(_targets(run), new)

    def _collect(self, row: Row, piece: dict[str, Array]) -> None:
        """Give a request the outputs of the time steps that ran."""
        request = row.request
        if row.length == request.num_steps:
            request.outputs = piece
            return
        if request.pieces is None:
            request.pieces = []
        request.pieces.append(piece)
        if row.start + row.length == request.num_steps:
            time_axis = 1 if isinstance(request, Block) else 0
            request.outputs = join(self._spec, request.pieces, time_axis)

    def _slots(self, run: Run) -> Sequence[int]:
        """Where the rows start from; a request without a source has its row placed."""
        if run.block is not None:
            return self._block_slots(run.block, run)
        slots: list[int] = []
        for row in run.rows:
            request = row.request
            if row.start > 0:
                slots.append(request.target)
            elif request.source != NO_SLOT:
                slots.append(request.source)
            else:
                state = request.state if request.state is not None else self._initial_row
                self._pool.write(request.target, state)
                slots.append(request.target)
        return slots

    def _block_slots(self, block: Block, run: Run) -> list[int]:
        rows = slice(run.first, run.last)
        if run.rows[0].start > 0:
            return block.targets[rows]
        slots = block.sources[rows]
        for index, source in enumerate(slots):
            if source == NO_SLOT:
                state, slot = block.states[run.first + index], block.targets[run.first + index]
                self._pool.write(slot, state if state is not None else self._initial_row)
                slots[index] = slot
        return slots


def _targets(run: Run) -> Sequence[int]:
    """The fresh slots of the rows."""
    if run.block is not None:
        return run.block.targets[run.first : run.last]
    return [row.request.target for row in run.rows]


def _wanted(run: Run) -> Sequence[int]:
    """Which rows' new states a commit or a client will want on the host."""
    if run.block is not None:
        [row] = run.rows
        is_last = row.start + row.length == row.request.num_steps
        return range(run.num_rows) if is_last and run.block.commits else ()
    return [
        index
        for index, row in enumerate(run.rows)
        if row.start + row.length == row.request.num_steps
        and (row.request.commits or row.request.wants_state)
    ]


def _refuse(run: Run, index: int, error: Exception) -> None:
    """A row of a run is at fault; of several faults of a row the first is told."""
    if run.block is not None:
        run.block.refuse(run.first + index, error)
    else:
        run.rows[index].request.error = error


def _refuse_poisoned(run: Run, finite: npt.NDArray[np.bool_]) -> None:
    """`finite`: (B,), and it may go on behind the rows."""
    if finite.all():
        return
    for index in np.flatnonzero(~finite[: run.num_rows]).tolist():
        _refuse(
            run,
            index,
            NonFiniteState(
                "the step would leave a state that is not finite; the session stays where it was"
            ),
        )


def _give_states(run: Run, wanted: Sequence[int], copies: ByteRows) -> None:
    """Each request its own of the new states, (W, N)."""
    if run.block is not None:
        run.block.keep_states(copies, run.first, run.last)
        return
    data, size = copies.tobytes(), copies.shape[1]
    for place, index in enumerate(wanted):
        run.rows[index].request.state_out = data[place * size : (place + 1) * size]
