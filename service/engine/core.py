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
from carousel.service.engine.batch import Packer, join
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
        return self._prepare(schedule.rows), schedule.dropped

    def execute(self, run: Run) -> None:
        """Run the program, on any thread."""
        run.execute(self._backend, self._clock)

    def end(self, run: Run) -> list[Request]:
        """Take in what a run gave; returns the requests that are done. Raises as `step`."""
        self._finish(run)
        rows = run.rows
        self.stats.ran(len(rows), sum(row.length for row in rows), run.seconds)
        if self.cost is not None:
            self.cost.ran(len(rows), run.num_steps, run.seconds)
        return self.scheduler.update(rows, run.seconds)

    def is_long(self, run: Run) -> bool:
        """Whether a run is for a lane, by what it is expected to take."""
        if self.cost is None:
            return False
        return self.scheduler.pace.is_long(self.cost.seconds(len(run.rows)) * run.num_steps)

    def _prepare(self, rows: list[Row]) -> Run:
        run = Run(rows)
        try:
            run.batch = self._packer.pack(rows)
            run.held = self._gather(rows)  # (B, N)
            if run.held is not None:
                run.states = self._pool.unpack(run.held)
        except DeviceFailed:
            raise
        except Exception as error:
            run.error = error
        return run

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
        rows = run.rows
        if len(rows) == 1:
            log.error("a row failed in the program", exc_info=error)
            rows[0].request.error = BackendFailed("the model's program failed on this input")
        # It is told; its frames hold the rows, and they the request.
        forget_frames(error)
        if len(rows) == 1:
            return
        middle = len(rows) // 2
        for half in (rows[:middle], rows[middle:]):
            again = self._prepare(half)
            self.execute(again)
            self._finish(again)
            run.seconds += again.seconds

    def _settle(self, run: Run) -> None:
        rows = run.rows
        pieces = self._packer.unpack(rows, run.outputs)
        began = self._clock()
        if run.held is None:
            self._backend.wait()
        else:
            self._keep(rows, self._pool.pack(run.new_states, run.held))
        # On a device a run has only begun when the program comes back.
        run.seconds += self._clock() - began
        for row, piece in zip(rows, pieces, strict=True):
            self._collect(row, piece)

    def _keep(self, rows: Sequence[Row], new: DeviceArray) -> None:
        """Take the new states, (B, N), to the host where they are wanted, and into the pool."""
        finite = self._pool.finite(new)  # (B,)
        wanted = _wanted(rows)
        copies = self._pool.to_host(new, wanted) if wanted else None  # (W, N)
        self._backend.wait()
        _refuse_poisoned(rows, finite)
        if copies is not None:
            _give_states(rows, wanted, copies)
        # After all that may fail: a row that is run again must find the state it started from.
        self._pool.scatter([row.request.target for row in rows], new)

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
            request.outputs = join(self._spec, request.pieces)

    def _gather(self, rows: Sequence[Row]) -> DeviceArray | None:
        """The states the rows start from, (B, N); a request without a source has its row placed."""
        if not self._spec.states:
            return None
        slots: list[int] = []
        for row in rows:
            request = row.request
            if row.start > 0:
                slots.append(request.target)
            elif request.source != NO_SLOT:
                slots.append(request.source)
            else:
                state = request.state if request.state is not None else self._initial_row
                self._pool.write(request.target, state)
                slots.append(request.target)
        return self._pool.gather(slots)


def _wanted(rows: Sequence[Row]) -> list[int]:
    """Which rows' new states a commit or a client will want on the host."""
    return [
        index
        for index, row in enumerate(rows)
        if row.start + row.length == row.request.num_steps
        and (row.request.commits or row.request.wants_state)
    ]


def _refuse_poisoned(rows: Sequence[Row], finite: npt.NDArray[np.bool_]) -> None:
    """`finite`: (B,), and it may go on behind the rows."""
    if finite.all():
        return
    for row, is_finite in zip(rows, finite.tolist(), strict=False):
        if not is_finite:
            row.request.error = NonFiniteState(
                "the step would leave a state that is not finite; the session stays where it was"
            )


def _give_states(rows: Sequence[Row], wanted: Sequence[int], copies: ByteRows) -> None:
    """Each request its own of the new states, (W, N)."""
    data, size = copies.tobytes(), copies.shape[1]
    for place, index in enumerate(wanted):
        rows[index].request.state_out = data[place * size : (place + 1) * size]
