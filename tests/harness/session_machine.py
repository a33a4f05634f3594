"""Random walks over the Sessions API beside a model of it in plain Python.

The model holds what the contract says of each session: its running sum, its position, the steps
that may be replayed, when it expires. Every answer is compared with it.
"""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import hypothesis.strategies as st
import numpy as np
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from carousel.service.errors import (
    CarouselError,
    PositionConflict,
    ReplyNotKept,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    StoreUnavailable,
)
from carousel.service.sessions.stores.base import Store
from carousel.service.sessions.stores.memory import MemoryStore
from tests.harness.columns import step_columns
from tests.harness.fakes import FaultyStore
from tests.harness.rig import LAYOUT, Rig, sums
from tests.harness.session_model import SessionModel

TTL_S = 60.0
T = TypeVar("T")
IDS = st.sampled_from(["a", "b", "c", "d", "e"])
VALUES = st.lists(st.integers(0, 9).map(float), min_size=1, max_size=40)


class SessionMachine(RuleBasedStateMachine):
    """Open, step, retry, look, fork, reset, write, delete, wait, crash; few slots, few ids."""

    def make_store(self) -> Store:
        """The store, as the last one left it where it is durable."""
        return MemoryStore(1 << 30)

    @initialize(num_slots=st.integers(2, 6), shared=st.booleans())
    def start(self, num_slots: int, shared: bool) -> None:
        """A fresh service."""
        self.loop = asyncio.new_event_loop()
        self.num_slots = num_slots
        self.shared = shared
        self.rig = self.make_rig()
        self.run(self.rig.__aenter__())
        self.live: dict[str, SessionModel] = {}
        self.expired: set[str] = set()

    def make_rig(self) -> Rig:
        """A service on the store."""
        store = FaultyStore(self.make_store(), shared=self.shared)
        return Rig(store=store, num_slots=self.num_slots, ttl_s=TTL_S, lanes=2)

    def stop(self) -> None:
        """The service and its store stop, and no slot leaked."""
        self.run(self.rig.__aexit__(None, None, None))
        self.run(self.rig.store.close())

    def teardown(self) -> None:
        """Everything stops."""
        if hasattr(self, "loop"):
            self.stop()
            self.loop.close()

    def run(self, work: Awaitable[T]) -> T:
        """Run on this machine's loop, not for ever."""
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    def fails(self, work: Awaitable[object]) -> type[BaseException]:
        """What a call raised."""
        try:
            self.run(work)
        except CarouselError as error:
            return type(error)
        raise AssertionError("it was answered")

    def missing(self, session_id: str) -> type[BaseException]:
        """What any call on a session that is not live must raise."""
        return SessionExpired if session_id in self.expired else SessionNotFound

    @rule(session_id=IDS)
    def open(self, session_id: str) -> None:
        """A free id opens, a taken one is refused."""
        if session_id in self.live:
            assert self.fails(self.rig.open(session_id)) is SessionExists
            return
        self.run(self.rig.open(session_id))
        self.live[session_id] = SessionModel(self.rig.clock.now)
        self.expired.discard(session_id)

    @rule(session_id=IDS, values=VALUES, named=st.booleans())
    def step(self, session_id: str, values: list[float], named: bool) -> None:
        """A step from where the session stands counts."""
        model = self.live.get(session_id)
        if model is None:
            assert self.fails(self.rig.step(session_id, *values)) is self.missing(session_id)
            return
        position = model.position if named else None
        reply = self.run(self.rig.step(session_id, *values, position=position, return_state=named))
        assert sums(reply) == model.take(values)
        assert not reply.replayed
        model.advance(values, self.rig.clock.now)
        assert reply.position == model.position
        if named:
            assert reply.state is not None
            assert reply.state["h"].tolist() == [[model.total] * 2]

    @rule(values=st.lists(VALUES, min_size=5, max_size=5))
    def step_all_at_once(self, values: list[list[float]]) -> None:
        """All sessions at once, each twice: batched, in order, right."""
        pairs = list(zip(sorted(self.live), values, strict=False))

        async def both(session_id: str, each: list[float]) -> list[list[float]]:
            found = await asyncio.gather(
                self.rig.step(session_id, *each), self.rig.step(session_id, *each[::-1])
            )
            return [sums(reply) for reply in found]

        async def everyone() -> list[list[list[float]]]:
            return await asyncio.gather(*(both(*pair) for pair in pairs))

        for (session_id, each), found in zip(pairs, self.run(everyone()), strict=True):
            model = self.live[session_id]
            for part, answer in zip((each, each[::-1]), found, strict=True):
                assert answer == model.take(part)
                model.advance(part, self.rig.clock.now)

    @rule(values=VALUES, named=st.booleans())
    def step_in_columns(self, values: list[float], named: bool) -> None:
        """All ids in one request, each with other numbers: as steps of their own."""
        ids = ["a", "b", "c", "d", "e"]
        sent = [[value + row for value in values] for row in range(5)]
        at = [self.live[each].position if each in self.live else 0 for each in ids]
        replies = self.run(step_columns(self.rig, ids, sent, at if named else None))
        for row, session_id in enumerate(ids):
            model = self.live.get(session_id)
            if model is None:
                assert type(replies.errors[row]) is self.missing(session_id)
                continue
            assert replies.outputs["output"][row, :, 0].tolist() == model.take(sent[row])
            model.advance(sent[row], self.rig.clock.now)
            assert replies.positions[row] == model.position

    @rule(session_id=IDS, back=st.integers(0, 11), same=st.booleans(), state=st.booleans())
    def retry(self, session_id: str, back: int, same: bool, state: bool) -> None:
        """A step named by a position that was: replayed, not kept, or a conflict."""
        model = self.live.get(session_id)
        if model is None or back >= len(model.steps):
            return
        base, values, answer = model.steps[-1 - back]
        sent = values if same else [value + 1 for value in values]
        call = self.rig.step(session_id, *sent, position=base, return_state=state)
        if not same or not model.is_kept(base):
            assert self.fails(call) is PositionConflict
        elif state and back > 0:
            assert self.fails(call) is ReplyNotKept
        else:
            reply = self.run(call)
            assert (reply.replayed, sums(reply), reply.position) == (
                True,
                answer,
                base + len(values),
            )

    @rule(session_id=IDS, values=VALUES, off=st.sampled_from([0, 0, 1, 100]))
    def look(self, session_id: str, values: list[float], off: int) -> None:
        """commit=false answers from where the session stands, and moves nothing."""
        model = self.live.get(session_id)
        if model is None:
            return
        call = self.rig.step(session_id, *values, position=model.position + off, commit=False)
        if off:
            assert self.fails(call) is PositionConflict
        else:
            assert sums(self.run(call)) == model.take(values)

    @rule(session_id=IDS, total=st.integers(0, 99), position=st.integers(0, 50))
    def write_state(self, session_id: str, total: int, position: int) -> None:
        """The state is what was written, and nothing from before is replayed."""
        state = LAYOUT.unpack(LAYOUT.pack({"h": np.full((1, 2), total, np.float32)}))
        call = self.rig.sessions.write_state("", session_id, state, position)
        if session_id not in self.live:
            assert self.fails(call) is self.missing(session_id)
            return
        assert self.run(call).position == position
        self.live[session_id] = SessionModel(self.rig.clock.now, float(total), position)

    @rule(session_id=IDS)
    def reset(self, session_id: str) -> None:
        """Position 0, initial state."""
        if session_id in self.live:
            assert self.run(self.rig.sessions.reset("", session_id)).position == 0
            self.live[session_id] = SessionModel(self.rig.clock.now)

    @rule(session_id=IDS, others=st.lists(IDS, min_size=1, max_size=3, unique=True))
    def fork(self, session_id: str, others: list[str]) -> None:
        """All or none; state and position are copied, replies are not."""
        model = self.live.get(session_id)
        call = self.rig.sessions.fork("", session_id, session_ids=others)
        if model is None:
            assert self.fails(call) is self.missing(session_id)
        elif set(others) & self.live.keys():
            assert self.fails(call) is SessionExists
        else:
            assert self.run(call).position == model.position
            for each in others:
                self.live[each] = SessionModel(self.rig.clock.now, model.total, model.position)
                self.expired.discard(each)

    @rule(session_id=IDS)
    def delete(self, session_id: str) -> None:
        """It is gone, and leaves no tombstone."""
        call = self.rig.sessions.delete("", session_id)
        if session_id in self.live:
            self.run(call)
            del self.live[session_id]
        else:
            assert self.fails(call) is self.missing(session_id)

    @rule(session_id=IDS, values=VALUES, after=st.booleans())
    def lose_the_answer(self, session_id: str, values: list[float], after: bool) -> None:
        """The store goes away under a commit: unknown is said, and the store is what counts."""
        model = self.live.get(session_id)
        if model is None:
            return
        self.rig.store.lose = "after" if after else "before"
        call = self.rig.step(session_id, *values, position=model.position)
        assert self.fails(call) is StoreUnavailable
        if after:
            model.advance(values, self.rig.clock.now)

    @rule(seconds=st.sampled_from([1.0, 30.0, 45.0]), sweep=st.booleans())
    def wait(self, seconds: float, sweep: bool) -> None:
        """Time passes; what was idle for too long is expired."""
        self.rig.clock.now += seconds
        for session_id, model in list(self.live.items()):
            if model.used_at + TTL_S <= self.rig.clock.now:
                del self.live[session_id]
                self.expired.add(session_id)
        if sweep:
            self.run(self.rig.sessions.sweep())

    @rule()
    def crowd_out(self) -> None:
        """Strangers take every slot for a moment."""
        self.run(self.rig.crowd_out())

    @invariant()
    def agrees(self) -> None:
        """Every session is where the model says."""
        for session_id, model in getattr(self, "live", {}).items():
            assert self.run(self.rig.info(session_id)).position == model.position
            assert self.run(self.rig.total(session_id)) == model.total


class DurableMachine(SessionMachine):
    """The same where sessions outlive the service."""

    @rule()
    def restart(self) -> None:
        """A new service on the same store finds every session, reply and tombstone."""
        now = self.rig.clock.now
        self.stop()
        self.rig = self.make_rig()
        self.rig.clock.now = now
        self.run(self.rig.__aenter__())
