"""The async door to a model: requests in from the event loop, answers back in one wake-up a batch.

The one file where the event loop and the engine's thread meet. The event loop owns requests before
they are queued and after they are delivered, all slot numbers, and the counts of what is pending;
the engine's thread (runner.py) owns the core. They pass lists of requests through a queue one way
and a loop callback back.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from carousel.models.row import Array
from carousel.service.engine.block import Block
from carousel.service.engine.core import Core
from carousel.service.engine.request import NO_SLOT, Request
from carousel.service.engine.runner import Runner
from carousel.service.engine.slots import Slots
from carousel.service.engine.step_wait import StepWait
from carousel.service.engine.turned_away import TurnedAway
from carousel.service.errors import ModelUnavailable, QueueFull, SequenceTooLong, StoreUnavailable
from carousel.service.event_loop import call_loop

log = logging.getLogger("carousel.engine")

Deliver = Callable[[list[Request]], None]
# Writes the finished requests' states to the store, then calls back from whatever thread it likes.
Commit = Callable[[list[Request], Deliver], None]


@dataclass(frozen=True, slots=True)
class Result:
    """Outputs in wire layout: (T, O...) per step, (O...) per sequence; `state` is a row if asked
    for.
    """

    outputs: dict[str, Array]
    state: bytes | None


class Engine:
    """Runs one model. All methods are the event loop's, and none of them
    blocks it.
    """

    def __init__(
        self,
        name: str,
        core: Core,
        slots: Slots,
        *,
        max_requests: int,
        max_bytes: int,
        max_wait_s: float = 0.0,
    ) -> None:
        """`max_wait_s`: steps of sessions that would wait for longer are refused, 0: none is."""
        self.name = name
        self.core = core
        self.slots = slots
        self.failed = False
        # Frees the slot of a session that nobody uses; False when there is none.
        self.reclaim: Callable[[], bool] = lambda: False
        self.commit: Commit = lambda requests, deliver: deliver(requests)
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self.turned_away = TurnedAway()
        self._step_wait = StepWait(max_wait_s, 2 * core.scheduler.limits.max_rows)
        self._max_whole_steps = core.scheduler.limits.max_whole_steps
        self._pending: set[Request] = set()
        self._pending_bytes = 0
        self._without_slot: deque[Request] = deque()
        self._admitted: list[Request] = []
        self._runner = Runner(name, core, self._finish, lambda: self._call_loop(self._fail_all))
        self._stopping = False
        self._answered: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_running = False

    def __repr__(self) -> str:
        return f"<Engine {self.name} pending={len(self._pending)} {self.slots!r}>"

    @property
    def num_pending(self) -> int:
        """Requests that were accepted and are not answered yet."""
        return len(self._pending)

    @property
    def room_bytes(self) -> int:
        """Bytes of input for which there is room in the queue."""
        return self._max_bytes - self._pending_bytes

    @property
    def is_starved(self) -> bool:
        """Whether requests wait for a free slot."""
        return bool(self._without_slot)

    def start(self) -> None:
        """Start the engine's thread; called once, on the event loop."""
        assert not self._is_running
        self._is_running = True
        self._loop = asyncio.get_running_loop()
        self._runner.start()

    async def stop(self) -> None:
        """Take nothing new, answer what was accepted, then end the thread."""
        self._stopping = True
        if not self._is_running:
            return
        if self._pending:
            self._answered = asyncio.Event()
            await self._answered.wait()
        await asyncio.to_thread(self._runner.stop)
        self._is_running = False

    async def infer(
        self,
        inputs: dict[str, Array],
        num_steps: int,
        *,
        deadline: float,
        state: bytes | None = None,
        wants_state: bool = False,
    ) -> Result:
        """Run one sequence from `state` (a row; initial values if None), keeping nothing.

        `inputs` are in wire layout, `deadline` is on the monotonic clock. Raises QueueFull,
        DeadlineExceeded, BackendFailed, NonFiniteState, ModelUnavailable, SequenceTooLong.
        """
        request = Request(inputs, num_steps, deadline, state=state, wants_state=wants_state)
        await self.run(request)
        return Result(request.outputs, request.state_out)

    async def run(self, request: Request) -> None:
        """Run a request to its end; raises its error. A cancelled wait abandons it if it can."""
        future = self.submit(request)
        try:
            await future
        except asyncio.CancelledError:
            request.abandoned = True
            raise

    def submit(self, request: Request) -> "asyncio.Future[Request]":
        """Queue a request, and have a future of it; raises as `enqueue`."""
        request.future = asyncio.get_running_loop().create_future()
        self.enqueue(request)
        return request.future

    def enqueue(self, request: Request) -> None:
        """Queue a request; raises QueueFull, ModelUnavailable or SequenceTooLong, and then nothing
        was changed.
        """
        if self.failed or self._stopping or self._loop is None:
            raise ModelUnavailable(f"the model {self.name} is not available")
        if self._max_whole_steps is not None and request.num_steps > self._max_whole_steps:
            raise SequenceTooLong(
                f"{request.num_steps} time steps of {self.name} in one run may take more memory "
                f"than a run may have; it may have {self._max_whole_steps} steps",
                hint="the service's CAROUSEL_MAX_RUN_BYTES bounds it",
            )
        if len(self._pending) >= self._max_requests:
            raise QueueFull(f"{self._max_requests} requests are waiting for {self.name} already")
        is_step = request.is_step
        if is_step and self._step_wait.is_too_long:
            raise QueueFull(
                f"a step of {self.name} would wait for {self._step_wait.seconds * 1000:.0f} ms",
                hint="the service's CAROUSEL_MAX_WAIT_MS bounds it",
            )
        for array in request.inputs.values():
            request.nbytes += array.nbytes
        if self._pending and self._pending_bytes + request.nbytes > self._max_bytes:
            raise QueueFull(f"{self._max_bytes} bytes are waiting for {self.name} already")
        self._pending.add(request)
        self._pending_bytes += request.nbytes
        if is_step:
            self._step_wait.came(time.monotonic())
        if isinstance(request, Block):
            self._hand_over(request)
        else:
            self._admit(request)

    def take_slots(self, count: int) -> list[int]:
        """Slots for the rows of a block, as many as are to be had; none while others wait for one.
        Those that are not used are to be given back by `release`.
        """
        if self._without_slot:
            return []
        taken = self.slots.take_many(count)
        while len(taken) < count and (slot := self._take_slot()) is not None:
            taken.append(slot)
        return taken

    def release(self, slot: int) -> None:
        """Free a slot; a request that waits for one goes on."""
        self.slots.give(slot)
        if self._without_slot:
            self._admit(self._without_slot.popleft())

    def _admit(self, request: Request) -> None:
        """Give a request its fresh slot and pass it on, or let it wait for one."""
        slot = self._take_slot()
        if slot is None:
            self._without_slot.append(request)
        else:
            request.target = slot
            self._hand_over(request)

    def _take_slot(self) -> int | None:
        slot = self.slots.take()
        if slot is None and self.reclaim():
            slot = self.slots.take()
        return slot

    def _hand_over(self, request: Request) -> None:
        if not self._admitted:
            # One wake-up for all that come in this turn of the loop: woken by the first, the
            # engine's thread would fight the loop for the interpreter and run small batches.
            asyncio.get_running_loop().call_soon(self._pass_on)
        self._admitted.append(request)
        if self.core.scheduler.pace.is_run(len(self._admitted), len(self._pending)):
            # But a run is a run: it begins while the loop reads the next requests.
            self._pass_on()

    def _pass_on(self) -> None:
        if self._admitted:
            self._runner.put(self._admitted)
            self._admitted = []

    def _finish(self, finished: list[Request]) -> None:
        commits = [each for each in finished if each.commits and each.error is None]
        if len(commits) < len(finished):
            self._deliver([each for each in finished if not each.commits or each.error])
        if commits:
            try:
                self.commit(commits, self._deliver)
            except Exception:
                log.exception("a commit of %s failed", self.name)
                for each in commits:
                    each.error = StoreUnavailable("the session store failed")
                self._deliver(commits)

    def _deliver(self, requests: list[Request]) -> None:
        self._call_loop(self._resolve, requests)

    def _call_loop(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None
        call_loop(self._loop, callback, *args)

    def _resolve(self, requests: list[Request]) -> None:
        """On the loop: settle each request alone, so that one that fails or left harms no other."""
        known = [request for request in requests if request in self._pending]
        self._step_wait.answered(sum(each.is_step for each in known), time.monotonic())
        for request in known:
            try:
                self._settle(request)
            except Exception:
                log.exception("a request of %s could not be settled", self.name)
        self.turned_away.answered(len(known))

    def _settle(self, request: Request) -> None:
        self._pending.remove(request)
        self._pending_bytes -= request.nbytes
        if request.error is not None:
            self.core.stats.failures += 1
        try:
            if request.on_done is not None:
                request.on_done(request)
            elif request.target != NO_SLOT:
                self.release(request.target)
        finally:
            self._answer(request)

    def _answer(self, request: Request) -> None:
        if self._answered is not None and not self._pending:
            self._answered.set()
        future = request.future
        # The request is the future's result: left in place, the two would keep each other alive
        # until the garbage collector comes.
        request.future = None
        if future is None or future.done():
            return
        if request.error is None:
            future.set_result(request)
        else:
            future.set_exception(request.error)

    def _fail_all(self) -> None:
        self.failed = True
        self._without_slot.clear()
        # One that has run and is to be committed stays: what became of it, the store will say.
        lost = [
            each
            for each in self._pending
            if not each.commits or each.error is not None or each.remaining > 0
        ]
        for request in lost:
            request.error = ModelUnavailable(f"the model {self.name} is not available")
        self._resolve(lost)
