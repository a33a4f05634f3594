"""Sequences: sessions that begin with their first step and end with their last, by flags on steps.

A sequence is a session under an id of the server's own, made of what names the sequence. A start is
run before anything is written, and then stands in the store, step and all, in one write; so a start
that fails leaves what was there before. The step that ends a sequence leaves a record that answers
it again for a while (`SessionMeta.ended`) and is no session to anybody else.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from carousel.models.row import Array
from carousel.service.engine.engine import Result
from carousel.service.engine.loaded_model import LoadedModel
from carousel.service.engine.start_state import start_row
from carousel.service.errors import (
    ReplyNotKept,
    SessionExpired,
    SessionNotFound,
    StateCorrupt,
    StoreUnavailable,
)
from carousel.service.sessions.committer import new_revision
from carousel.service.sessions.recorded_reply import add_reply, digest, unpack_replies
from carousel.service.sessions.results import StepReply
from carousel.service.sessions.session import Session
from carousel.service.sessions.session_cache import SessionCache
from carousel.service.sessions.session_opener import SessionOpener, require_streamable
from carousel.service.sessions.session_record import Key, SessionRecord
from carousel.service.sessions.settled import settled
from carousel.service.sessions.step import Done, Read, Step
from carousel.service.sessions.step_run import StepRun, begin_step
from carousel.service.sessions.stores.base import Damaged, Found, Outcome, Write

PREFIX = "v2."

_DIGEST_BYTES = 16
# Keys that are remembered; a digest takes longer than finding one.
_MAX_KEYS = 4096

SequenceId = int | str


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a first step; `restarted`: a live sequence of that name was given up for it."""

    reply: StepReply
    restarted: bool


@lru_cache(maxsize=_MAX_KEYS)
def sequence_key(tenant: str, model: str, sequence_id: SequenceId) -> Key:
    """Which session a sequence is. The integer 7 and the string "7" are two."""
    kind = "s" if isinstance(sequence_id, str) else "i"
    name = f"{tenant}\0{model}\0{kind}{sequence_id}".encode()
    return tenant, PREFIX + blake2b(name, digest_size=_DIGEST_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class _First:
    """A sequence's first step. `fresh`: the sequence before it; `row`: the state that the client
    gave, if it did.
    """

    fresh: SessionRecord
    loaded: LoadedModel
    step: Step
    row: bytes | None

    @property
    def asked(self) -> Mapping[str, Array]:
        """What tells it apart from other first steps. No input goes without a name."""
        if self.row is None:
            return self.step.inputs
        return self.step.inputs | {"": np.frombuffer(self.row, np.uint8)}

    async def run(self) -> Result:
        """Run it; nothing is kept."""
        step = self.step
        return await self.loaded.engine.infer(
            step.inputs,
            step.num_steps,
            deadline=step.deadline,
            state=self.fresh.state,
            wants_state=True,
        )

    def record(self, result: Result, now: float) -> SessionRecord:
        """The sequence after it."""
        assert result.state is not None
        step = self.step
        meta = replace(
            self.fresh.meta,
            revision=new_revision(),
            position=step.num_steps,
            used_at=now,
            replies=add_reply(b"", 0, step.num_steps, self.asked, result.outputs),
            ended=step.ends,
            started=True,
        )
        return SessionRecord(meta, result.state)


class Sequences:
    """Steps of sequences. Owned by the event loop. A step between start and end is a session's."""

    def __init__(self, cache: SessionCache, opener: SessionOpener) -> None:
        self._cache = cache
        self._resident = cache.resident
        self._store = cache.store
        self._opener = opener

    def __repr__(self) -> str:
        return f"<Sequences {self._cache!r}>"

    async def model(self, key: Key, *, ends: bool) -> LoadedModel:
        """The model that a sequence runs on, also one that has ended, for a step that `ends` it.

        Raises SessionNotFound, SessionExpired, ModelMismatch, StateCorrupt.
        """
        try:
            return (self._cache.peek(*key) or await self._cache.find(*key)).loaded
        except SessionNotFound:
            found = await self._store.load(key) if ends else None
            if not isinstance(found, SessionRecord):
                raise
            return self._cache.successor(found.meta)

    def begin(
        self, key: Key, read: Read, deadline: float, done: Done, *, ends: bool = False
    ) -> StepRun:
        """Begin a step of a sequence that was started, as a session's. `ends`: it is the last.

        One that ends its sequence and was done already is answered again, if it names its position.
        """
        if not ends:
            return begin_step(self._cache, key, read, deadline, done)

        def done_or_gone(outcome: StepReply | Exception) -> None:
            if isinstance(outcome, SessionNotFound):
                load = asyncio.ensure_future(self._store.load(key))
                load.add_done_callback(lambda load: done(self._judge_gone(load, read, outcome)))
            else:
                done(outcome)

        return begin_step(self._cache, key, read, deadline, done_or_gone)

    def _judge_gone(
        self, load: "asyncio.Future[Found]", read: Read, error: SessionNotFound
    ) -> StepReply | Exception:
        """The reply to a step that ends a sequence that is gone; `error` if it is no repeat."""
        try:
            if load.cancelled():
                raise StoreUnavailable("the service ends")
            found = load.result()
            if not isinstance(found, SessionRecord):
                return error
            step = read(self._cache.successor(found.meta))
            return self._find_repeat(found, step, step.inputs, is_start=False) or error
        except Exception as fault:
            return fault

    async def start(
        self, key: Key, loaded: LoadedModel, step: Step, row: bytes | None = None
    ) -> Started:
        """Begin a sequence with its first step, whatever was there, at the model's initial state or
        at `row`.

        It is a repeat only if it names position 0 and is what the sequence began with, which stands
        at the end of that step. Raises NotStreamable, InvalidRequest where a state is missing,
        SessionLimit, and the engine's errors.
        """
        require_streamable(loaded)
        given = start_row(loaded, None, "inputs") if row is None else row
        first = _First(self._opener.record(key, loaded, given, 0, None), loaded, step, row)
        session = Session(first.fresh.meta, loaded, given)
        session = await self._cache.claim(session, step.deadline)
        try:
            return await self._start(session, first)
        except BaseException:
            # Whatever the store holds now, nobody may trust what is in memory.
            self._resident.drop(session)
            raise
        finally:
            self._cache.leave(session)

    async def _start(self, session: Session, first: _First) -> Started:
        """On the session's turn: the first step, written over what stands there."""
        step, loaded, key = first.step, first.loaded, first.fresh.meta.key
        result: Result | None = None
        while True:
            found = await self._store.load(key)
            repeat = self._find_repeat(found, step, first.asked, is_start=True)
            if repeat is not None:
                self._resident.drop(session)
                return Started(repeat, restarted=False)
            if isinstance(found, Damaged):
                self._cache.require_live(found, key[1])
            if result is None:
                # It depends on nothing that is in the store: one run, however often it is written.
                result = await first.run()
            record = first.record(result, self._cache.clock())
            base = found.meta.revision if isinstance(found, SessionRecord) else None
            (outcome,) = await settled(self._store.write([Write(base, record)]))
            if outcome is Outcome.DAMAGED:
                raise StateCorrupt("the store cannot read where the sequence would be kept")
            if outcome is Outcome.WRITTEN:
                break
        if step.ends or loaded.retired:
            self._resident.drop(session)
        else:
            self._cache.adopt(session, record)
        return Started(_reply(loaded, step, record, result), restarted=self._is_live(found))

    def _find_repeat(
        self, found: Found, step: Step, asked: Mapping[str, Array], *, is_start: bool
    ) -> StepReply | None:
        """The recorded reply if `step`, which starts or ends a sequence, is the very last one of it
        again, flags and all. Raises ReplyNotKept.
        """
        if step.position is None or not isinstance(found, SessionRecord):
            return None
        meta = found.meta
        if meta.ended is not step.ends or self._cache.clock.has_ended(meta):
            return None
        last = unpack_replies(meta.replies)[-1:]
        if not last or (is_start and not meta.started):
            return None
        reply = last[0]
        if (reply.base, reply.position) != (step.position, meta.position):
            return None
        if reply.digest != digest(asked):
            return None
        if reply.outputs is None:
            raise ReplyNotKept(
                "the step was done, and its outputs were too large to keep", position=meta.position
            )
        state = None
        if step.return_state:
            state = self._cache.successor(meta).layout.unpack(found.state)
        return StepReply(outputs=reply.outputs, position=meta.position, state=state, replayed=True)

    def _is_live(self, found: Found) -> bool:
        try:
            self._cache.require_live(found, "")
        except (SessionNotFound, SessionExpired):
            return False
        return True


def _reply(loaded: LoadedModel, step: Step, record: SessionRecord, result: Result) -> StepReply:
    state = loaded.layout.unpack(record.state) if step.return_state else None
    return StepReply(outputs=result.outputs, position=record.meta.position, state=state)
