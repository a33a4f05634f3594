"""Steps a session: its turn, the position rules, one run of the engine, one commit."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from carousel.models.row import Array
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.request import NO_SLOT, Abandoned, Request
from carousel.service.errors import ModelMismatch, StateCorrupt, StoreUnavailable
from carousel.service.sessions.committer import Ticket, WriteLost
from carousel.service.sessions.positions import find_repeat, position_after
from carousel.service.sessions.recorded_reply import RecordedReply, digest
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.session import Session
from carousel.service.sessions.session_cache import SessionCache
from carousel.service.sessions.session_record import SessionMeta


@dataclass(slots=True)
class Step:
    """What a client asks of a session. `inputs`: wire layout; `deadline`: monotonic seconds;
    `ends`: the session is over after it.
    """

    inputs: dict[str, Array]
    num_steps: int
    deadline: float
    position: int | None = None
    return_state: bool = False
    commit: bool = True
    ends: bool = False


# Told of a step that was begun: its reply, or why there is none.
Done = Callable[[StepReply | BaseException], None]


class StepRunner:
    """Runs steps. A session keeps its turn until the commit of its step is known."""

    def __init__(self, cache: SessionCache) -> None:
        self._cache = cache
        self._resident = cache.resident
        self._store = cache.store
        self._tasks: set[asyncio.Task[StepReply]] = set()

    def __repr__(self) -> str:
        return f"<StepRunner {self._cache!r}>"

    async def step(self, session: Session, step: Step) -> StepReply:
        """Feed a session; the reply leaves when the new state is in the store.

        Raises PositionConflict, ReplyNotKept, SessionNotFound, SessionExpired, and the engine's
        errors; after any but StoreUnavailable the session is where it was.
        """
        return await self._step(session, step, session.loaded, lost=False)

    def begin(self, session: Session, step: Step, done: Done) -> Request | None:
        """Start a step that has nothing to wait for but its run; None where `step` must be awaited.

        For a caller without a task, which most of the time of a small step would go into. `done` is
        called once, later, on the loop, with the reply or the error. Raises QueueFull,
        ModelUnavailable and SequenceTooLong. The request that comes back may be abandoned.
        """
        if session.busy or session.dropped or session.loaded.retired:
            return None
        if not self._may_run(session, step):
            return None
        loaded = session.loaded

        def finished(request: Request) -> None:
            if isinstance(request.error, WriteLost):
                self._judge_anew(session, step, loaded, done)
            else:
                done(request.error or _reply(session, step, request))

        self._resident.wake(session)
        try:
            request = self._request(session, step, finished)
            session.loaded.engine.enqueue(request)
        except BaseException:
            self._cache.leave(session)
            raise
        return request

    def _judge_anew(self, session: Session, step: Step, loaded: LoadedModel, done: Done) -> None:
        """Go on, awaiting, with a step that was begun and whose write was lost."""

        def tell(task: "asyncio.Task[StepReply]") -> None:
            self._tasks.discard(task)
            if not task.cancelled():
                done(task.exception() or task.result())

        task = asyncio.ensure_future(self._step(session, step, loaded, lost=True))
        self._tasks.add(task)
        task.add_done_callback(tell)

    async def _step(
        self, session: Session, step: Step, loaded: LoadedModel, *, lost: bool
    ) -> StepReply:
        """As `step`; `loaded`: the model that its inputs were read for. `lost`: the turn is held
        already, by this step, whose write was lost.
        """
        while True:
            if lost:
                await self._reload_lost(session)
            elif session.busy:
                await self._cache.enter(session, step.deadline)
            else:
                self._resident.wake(session)
            if session.dropped or session.loaded.retired:
                session = await self._find_again(session)
                lost = False
                continue
            try:
                _require_same(session, loaded)
                repeat = None
                if not self._may_run(session, step):
                    repeat = await self._judge(session, step)
                if repeat is None:
                    request = self._request(session, step)
                    future = session.loaded.engine.submit(request)
            except BaseException:
                self._cache.leave(session)
                raise
            if repeat is not None:
                self._cache.leave(session)
                return repeat
            # From here on the turn is `_finished`'s to pass on.
            try:
                await future
            except WriteLost:
                # The turn is still this step's: what came behind it stays behind it.
                lost = True
                continue
            except asyncio.CancelledError:
                request.abandoned = True
                if _is_lost(future):
                    self._give_up(session)
                raise
            return _reply(session, step, request)

    async def _reload_lost(self, session: Session) -> None:
        """What the store holds of a session, on the turn of a step whose write was lost."""
        try:
            await self._cache.reload(session)
        except BaseException:
            self._give_up(session)
            raise

    def _give_up(self, session: Session) -> None:
        self._resident.drop(session)
        self._cache.leave(session)

    async def _find_again(self, session: Session) -> Session:
        """Another session of the same key, after the one at hand was given up."""
        self._give_up(session)
        return await self._cache.find(*session.meta.key)

    # By what a step is judged (positions.py): the session in memory, or the store's record of it,
    # which is read on the session's turn.
    #
    #     the store  the step                                   is judged by
    #     ---------  -----------------------------------------  --------------------------------
    #     either     commits, and names s or no position        memory: it runs, and its commit
    #                                                           finds out whether s was right
    #     our own    commits not, and names s or no position    memory: nobody else writes
    #     our own    names another, and wants no state          memory
    #     our own    names another, and wants the state         the store, which alone has it
    #     shared     is any other                               the store: a cached session is no
    #                                                           ground for a refusal or a replay
    def _may_run(self, session: Session, step: Step) -> bool:
        """Whether a step runs without another look."""
        if step.position is not None and step.position != session.meta.position:
            return False
        return step.commit or not self._store.shared

    async def _judge(self, session: Session, step: Step) -> StepReply | None:
        """None if the step may run, the recorded reply if it is a repeat; raises if refused."""
        if not self._store.shared and not step.return_state:
            reply = _find_repeat(session.meta, step)
            return None if reply is None else _replay(reply, None)
        record = await self._cache.reload(session)
        reply = _find_repeat(record.meta, step)
        if reply is None:
            return None
        state = session.loaded.layout.unpack(record.state) if step.return_state else None
        return _replay(reply, state)

    def _request(
        self, session: Session, step: Step, done: Callable[[Request], None] | None = None
    ) -> Request:
        longest = session.loaded.spec.max_position
        position = position_after(session.meta, step.num_steps, longest)
        return Request(
            step.inputs,
            step.num_steps,
            step.deadline,
            state=session.row,
            source=session.slot,
            commits=step.commit,
            ticket=Ticket(session, position, done, step.ends),
            wants_state=step.return_state,
            on_done=self._finished,
        )

    def _finished(self, request: Request) -> None:
        """On the loop, for every request that was submitted, whether its client still waits or
        not.
        """
        ticket = request.ticket
        assert isinstance(ticket, Ticket)
        session = ticket.session
        engine = session.loaded.engine
        if request.error is None and ticket.after is not None:
            if ticket.ends:
                engine.release(request.target)
                self._resident.drop(session)
            else:
                session.meta = ticket.after
                _move(session, request)
        else:
            if request.target != NO_SLOT:
                engine.release(request.target)
            if isinstance(request.error, WriteLost) and _is_awaited(request, ticket):
                # The turn stays the step's: it is judged anew, in its place.
                if ticket.done is not None:
                    ticket.done(request)
                return
            if isinstance(request.error, WriteLost | StoreUnavailable | StateCorrupt):
                self._resident.drop(session)
            if isinstance(request.error, WriteLost):
                request.error = Abandoned()
        self._cache.leave(session)
        if ticket.done is not None:
            ticket.done(request)


def _require_same(session: Session, loaded: LoadedModel) -> None:
    """Raise ModelMismatch where the inputs were read for another model than the session has now."""
    if session.loaded is not loaded and session.loaded.spec != loaded.spec:
        raise ModelMismatch(
            f"the session was opened anew on the model {session.loaded.name} while the step waited",
            hint="nothing was done; send what that model takes",
        )


def _is_awaited(request: Request, ticket: Ticket) -> bool:
    """Whether anybody still waits for the answer to a step."""
    if request.future is not None:
        return not request.future.done()
    return ticket.done is not None and not request.abandoned


def _move(session: Session, request: Request) -> None:
    """Point the session at its fresh slot.

    A session that had none keeps it only if another slot is free or can be had from an idle
    session: of sessions that hold every slot of the pool, none could ever step again.
    """
    engine = session.loaded.engine
    before, session.slot, session.row = session.slot, request.target, None
    if before != NO_SLOT:
        engine.release(before)
    elif engine.slots.is_full and (engine.is_starved or not engine.reclaim()):
        session.slot, session.row = NO_SLOT, request.state_out
        engine.release(request.target)


def _is_lost(future: "asyncio.Future[Request]") -> bool:
    """Whether the write was lost just before the client left, so that nobody keeps the turn."""
    return future.done() and not future.cancelled() and isinstance(future.exception(), WriteLost)


def _find_repeat(meta: SessionMeta, step: Step) -> RecordedReply | None:
    return find_repeat(
        meta,
        step.position,
        lambda: digest(step.inputs),
        commit=step.commit,
        return_state=step.return_state,
        ends=step.ends,
    )


def _reply(session: Session, step: Step, request: Request) -> StepReply:
    ticket = request.ticket
    assert isinstance(ticket, Ticket)
    state: Mapping[str, Array] | None = None
    if step.return_state:
        assert request.state_out is not None
        state = session.loaded.layout.unpack(request.state_out)
    return StepReply(outputs=request.outputs, position=ticket.position, state=state)


def _replay(reply: RecordedReply, state: Mapping[str, Array] | None) -> StepReply:
    assert reply.outputs is not None
    return StepReply(outputs=reply.outputs, position=reply.position, state=state, replayed=True)
