"""One step on its way, from a key to a reply: found, on its turn, read, judged, run, committed.

Most go through it at once as far as the engine; one that has to wait, for the store or its turn,
goes on when that calls back. There is no task: most of the time of a small step would go into it.

    begin --> (look up) --> (turn) --> read, judge --> run --> finished
                                         |    ^          |
                                         v    |          v
                                        (reload) <-- its write was lost

By what a step is judged (positions.py): memory, or the store's record, read on its turn.

    the store  the step                                   is judged by
    ---------  -----------------------------------------  --------------------------------
    either     commits, and names s or no position        memory: it runs, and its commit
                                                          finds out whether s was right
    our own    commits not, and names s or no position    memory: nobody else writes
    our own    names another, and wants no state          memory
    our own    names another, and wants the state         the store, which alone has it
    shared     is any other, one that cannot be read      the store: a cached session is no
               for the session's model among them         ground for a refusal or a replay
"""

import asyncio
import time
from functools import partial

from carousel.service.engine.request import NO_SLOT, Abandoned, Request
from carousel.service.errors import CarouselError, DeadlineExceeded, QueueFull, StoreUnavailable
from carousel.service.sessions.committer import UNKNOWN, Ticket, WriteLost
from carousel.service.sessions.positions import find_repeat, position_after
from carousel.service.sessions.recorded_reply import digest
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.session import Session
from carousel.service.sessions.session_cache import SessionCache
from carousel.service.sessions.session_record import Key, SessionRecord
from carousel.service.sessions.step import Done, Read, Step
from carousel.service.sessions.stores.base import Found


def begin_step(cache: SessionCache, key: Key, read: Read, deadline: float, done: Done) -> "StepRun":
    """Begin a step of a session; the reply is told when the new state is in the store.

    `deadline` (monotonic) is for finding the session and for its turn; the step has its own, for
    the engine. Told are PositionConflict, ReplyNotKept, SessionNotFound, SessionExpired,
    ModelMismatch, what `read` raises, and the engine's errors; after any but StoreUnavailable the
    session is where it was.
    """
    run = StepRun(cache, key, read, deadline, done)
    run.begin()
    return run


class StepRun(Ticket):
    """Owned by the event loop; `Ticket` is what the commit sees of it. The session keeps its turn
    until the commit is known.
    """

    __slots__ = (
        "_cache",
        "_deadline",
        "_done",
        "_is_abandoned",
        "_key",
        "_read",
        "_read_for",
        "_record",
        "_step",
        "_waits_for",
    )

    _step: Step

    def __init__(
        self, cache: SessionCache, key: Key, read: Read, deadline: float, done: Done
    ) -> None:
        # `Ticket` begins with that; its position and end are known when it is submitted.
        self.after = None
        self._cache = cache
        self._key = key
        self._read = read
        self._deadline = deadline
        self._done = done
        self._is_abandoned = False
        # What `_step` was read for.
        self._read_for: object = None
        # What the store holds of the session, where that was asked for on this turn.
        self._record: SessionRecord | None = None
        # The engine, the turn, or the store for so long; None: what it began will go on by itself.
        self._waits_for: Request | asyncio.Future[None] | asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        known = {Request: "the engine", asyncio.Future: "its turn", type(None): "nothing"}
        return f"<StepRun {self._key[1]} waits for {known.get(type(self._waits_for), 'the store')}>"

    def begin(self) -> None:
        """Go as far as it goes without waiting."""
        session = self._cache.peek(*self._key)
        if session is None:
            delay = max(0.0, self._deadline - time.monotonic())
            self._waits_for = asyncio.get_running_loop().call_later(delay, self._expire)
            self._cache.fetch(*self._key, self._found)
        elif session.busy:
            self._queue(session)
        else:
            self._take(session)

    def abandon(self) -> None:
        """The client has gone: the step need not run, unless it does already."""
        self._is_abandoned = True
        waits_for = self._waits_for
        if isinstance(waits_for, Request):
            waits_for.abandoned = True
        elif isinstance(waits_for, asyncio.Future):
            waits_for.cancel()
        elif waits_for is not None:
            waits_for.cancel()
            self._waits_for = None
            self._end(Abandoned())

    def _expire(self) -> None:
        self._waits_for = None
        self._end(DeadlineExceeded("the request waited for its session for too long"))

    def _found(self, found: Session | Exception) -> None:
        timer, self._waits_for = self._waits_for, None
        if timer is None:
            return  # it is over already
        assert not isinstance(timer, Request)
        timer.cancel()
        if isinstance(found, Exception):
            self._end(found)
        elif found.busy:
            self._queue(found)
        else:
            self._take(found)

    def _take(self, session: Session) -> None:
        self.session = session
        self._cache.resident.wake(session)
        self._go_on()

    def _queue(self, session: Session) -> None:
        self.session = session
        try:
            turn = self._waits_for = self._cache.queue(session, self._deadline)
        except CarouselError as error:
            self._end(error)
        else:
            turn.add_done_callback(self._take_turn)

    def _take_turn(self, turn: "asyncio.Future[None]") -> None:
        self._waits_for = None
        if turn.cancelled():
            self._end(Abandoned())
            return
        error = turn.exception()
        if error is None:
            self._go_on()
        else:
            assert isinstance(error, Exception)
            self._end(error)

    def _go_on(self) -> None:
        """On the session's turn: run, replay or refuse, or ask the store first."""
        session, loaded = self.session, self.session.loaded
        if session.dropped or loaded.retired:
            self._cache.give_up(session)
            self._record = None
            self.begin()
            return
        try:
            if self._is_abandoned:
                raise Abandoned
            if self._read_for is not loaded:
                self._step = self._read(loaded)
                self._read_for = loaded
            step, position = self._step, session.meta.position
            if (step.position is None or step.position == position) and (
                step.commit or self._is_sure
            ):
                longest = loaded.spec.max_position
                self.position = position_after(session.meta, step.num_steps, longest)
                self._submit(session, step)
                return
            if self._record is None and (step.return_state or not self._is_sure):
                self._reload()
                return
            outcome: StepReply | Exception = self._repeat(session, step)
        except Exception as error:
            if isinstance(error, CarouselError) and not self._is_sure:
                # Another server may have written the session, or opened its id on another model.
                self._reload()
                return
            outcome = error
        self._cache.leave(session)
        self._end(outcome)

    @property
    def _is_sure(self) -> bool:
        """Whether the session in memory is what the store holds, as far as it can be known."""
        return self._record is not None or not self._cache.store.shared

    def _submit(self, session: Session, step: Step) -> None:
        request = Request(
            step.inputs,
            step.num_steps,
            step.deadline,
            state=session.row,
            source=session.slot,
            commits=step.commit,
            ticket=self,
            wants_state=step.return_state,
            on_done=self._finished,
        )
        self.ends = step.ends
        try:
            session.loaded.engine.enqueue(request)
        except Exception as error:
            # What the store holds makes no difference to that.
            self._cache.leave(session)
            if isinstance(error, QueueFull):
                session.loaded.engine.turned_away.add(partial(self._done, error))
            else:
                self._end(error)
        else:
            self._waits_for = request

    def _repeat(self, session: Session, step: Step) -> StepReply:
        """The recorded reply to a step that was done; raises where it was not, or is not kept."""
        reply = find_repeat(
            session.meta,
            step.position,
            lambda: digest(step.inputs),
            commit=step.commit,
            return_state=step.return_state,
            ends=step.ends,
        )
        assert reply is not None
        assert reply.outputs is not None
        state = None
        if step.return_state:
            assert self._record is not None
            state = session.loaded.layout.unpack(self._record.state)
        return StepReply(outputs=reply.outputs, position=reply.position, state=state, replayed=True)

    def _reload(self) -> None:
        """Read what the store holds of the session, on its turn."""
        load = asyncio.ensure_future(self._cache.store.load(self._key))
        load.add_done_callback(self._reloaded)

    def _reloaded(self, load: "asyncio.Future[Found]") -> None:
        try:
            if load.cancelled():
                raise StoreUnavailable("the service ends")
            self._record = self._cache.set_to(self.session, load.result())
        except Exception as error:
            self._cache.give_up(self.session)
            self._end(error)
        else:
            self._go_on()

    def _finished(self, request: Request) -> None:
        """The engine is done with the request, and the store with what it left."""
        self._waits_for = None
        session, error = self.session, request.error
        engine = session.loaded.engine
        if error is None and self.after is not None:
            if self.ends:
                engine.release(request.target)
                self._cache.resident.drop(session)
            else:
                session.meta = self.after
                self._cache.resident.move(session, request.target, request.state_out)
        elif request.target != NO_SLOT:
            engine.release(request.target)
        if isinstance(error, WriteLost):
            if not request.abandoned:
                # The turn is still this step's: what came behind it stays behind it.
                self.after = None
                self._reload()
                return
            error = Abandoned()
            self._cache.resident.drop(session)
        elif isinstance(error, UNKNOWN):
            self._cache.resident.drop(session)
        self._cache.leave(session)
        self._done(error or self._reply(session, request))

    def _reply(self, session: Session, request: Request) -> StepReply:
        state = None
        if request.wants_state:
            assert request.state_out is not None
            state = session.loaded.layout.unpack(request.state_out)
        return StepReply(outputs=request.outputs, position=self.position, state=state)

    def _end(self, outcome: StepReply | Exception) -> None:
        """Tell it in a while: whoever began the step may not have come back from that."""
        asyncio.get_running_loop().call_soon(self._done, outcome)
