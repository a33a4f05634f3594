"""Carries requests to the replicas and writes each of them, with its answer, into histories."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence

from tests.harness.chaos.truth import Violation
from tests.harness.chaos.wire import Answer, Wire
from tests.harness.histories import (
    Absent,
    Conflict,
    Done,
    Exists,
    NotKept,
    Open,
    Operation,
    Refused,
    Seen,
    Step,
    Stepped,
    Write,
)
from tests.harness.replicas.ask import Ask, Part
from tests.harness.replicas.replica import Replica
from tests.harness.replicas.session import Session
from tests.harness.replicas.tally import Tally

# Longer than any pause and all that the service then waits for.
_LIMIT_S = 20.0
_CONNECT_S = 2.0
# Requests under way at one replica: of those that stand still with it, a few tell enough.
_MAX_OUT = 16
_MAX_SHOWN = 400


class NotSent(Exception):
    """The replica takes no connection, or has enough to do: nothing was sent."""


class Courier:
    """Owned by one event loop, whose clock all histories share.

    `failure` is done as soon as an answer is a Violation, whether anybody still waits for it or
    not. `answered_at`: when an answer told of a session for the last time.
    """

    def __init__(self, tally: Tally) -> None:
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered_at = time.monotonic()
        self._tally = tally
        self._idle: dict[Replica, list[Wire]] = {}
        self._num_out: Counter[Replica] = Counter()
        self._under_way: set[asyncio.Task[list[Operation]]] = set()

    def __repr__(self) -> str:
        return f"<Courier under_way={len(self._under_way)}>"

    async def send(self, ask: Ask, replica: Replica, patience_s: float) -> Sequence[Operation]:
        """What became of each part of a request.

        Nothing where no answer came in time: the connection is kept, and the answer recorded when
        it comes. Raises NotSent, Violation.
        """
        wire = await self._connect(replica)
        task = asyncio.create_task(self._carry(ask, replica, wire))
        self._under_way.add(task)
        task.add_done_callback(self._landed)
        await asyncio.wait([task], timeout=patience_s)
        return task.result() if task.done() else ()

    async def close(self) -> None:
        """Give up all requests that are under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        for wires in self._idle.values():
            for wire in wires:
                wire.close()

    async def _connect(self, replica: Replica) -> Wire:
        if self._num_out[replica] >= _MAX_OUT or not replica.is_up:
            raise NotSent(repr(replica))
        idle = self._idle.setdefault(replica, [])
        while idle:
            if not (wire := idle.pop()).closed:
                return wire
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, made = await loop.create_connection(Wire, "127.0.0.1", replica.port)
        except OSError:  # and TimeoutError, which is one
            raise NotSent(repr(replica)) from None
        return made

    async def _carry(self, ask: Ask, replica: Replica, wire: Wire) -> list[Operation]:
        wakes = replica.num_wakes
        self._num_out[replica] += 1
        for part in ask.parts:
            part.session.sent(part.call)
        try:
            invoked_at = time.monotonic()
            answer = await self._answer(wire, ask.request)
            answered_at = time.monotonic()
            parts = ask.parts if answer is None else self._read(ask, answer)
            if answer is not None and answer.status in (503, 504):
                self._tally.unavailable += 1
        finally:
            self._num_out[replica] -= 1
            for part in ask.parts:
                part.session.num_out -= 1
        if not wire.closed:
            self._idle[replica].append(wire)
        done: list[Operation] = []
        for part in parts:
            at = None if part.said is None else answered_at
            operation = Operation(part.call, invoked_at, part.said, at, replica.name)
            done.append(operation)
            if not isinstance(part.said, Refused):
                # That one did nothing, and says nothing of the session.
                part.session.history.append(operation)
            self._count(operation, was_late=replica.num_wakes > wakes)
            self._follow(part.session, operation)
        return done

    async def _answer(self, wire: Wire, request: bytes) -> Answer | None:
        future = wire.ask(request)
        try:
            await asyncio.wait([future], timeout=_LIMIT_S)
        finally:
            if not future.done():
                wire.abort()
        return future.result() if future.done() else None

    def _read(self, ask: Ask, answer: Answer) -> Sequence[Part]:
        try:
            return ask.read(answer)
        except Violation as violation:
            asked = "; ".join(f"{part.session.id}: {part.call}"[:_MAX_SHOWN] for part in ask.parts)
            raise Violation(f"{asked}\n{str(violation)[:_MAX_SHOWN]}") from None

    def _landed(self, task: "asyncio.Task[list[Operation]]") -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None and not self.failure.done():
            error = task.exception()
            assert error is not None
            self.failure.set_exception(error)

    def _count(self, operation: Operation, *, was_late: bool) -> None:
        tally, answer = self._tally, operation.answer
        tally.operations += 1
        tally.unanswered += answer is None
        is_replay = isinstance(answer, Stepped) and answer.replayed
        is_refusal = isinstance(answer, Conflict | NotKept)
        tally.replays += is_replay
        tally.conflicts += is_refusal
        if was_late and isinstance(operation.call, Step) and answer is not None:
            tally.late += 1
            tally.late_refused += is_replay or is_refusal
        if answer is not None and not isinstance(answer, Refused):
            self.answered_at = time.monotonic()

    def _follow(self, session: Session, operation: Operation) -> None:
        """Guess where the session is now; another client may know better already."""
        call, answer = operation.call, operation.answer
        if isinstance(answer, Stepped) and answer.replayed:
            return
        if isinstance(answer, Stepped | Seen | Exists | Conflict | NotKept):
            session.position = answer.position
        elif isinstance(answer, Done) and isinstance(call, Open | Write):
            session.position = call.position or 0
        elif isinstance(answer, Absent | Done):
            session.position = 0
